//! A time in the call log.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use sqlx::{
    Decode, Encode, Postgres, Sqlite, Type, encode::IsNull, error::BoxDynError, postgres::PgTypeInfo,
    sqlite::SqliteTypeInfo,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{self, ObjectBuilder, RefOr, Schema, SchemaFormat},
};

/// A moment, to the millisecond, UTC. `timestamptz` in Postgres, an integer of milliseconds in SQLite, RFC 3339 in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(OffsetDateTime);

impl Stamp {
    /// The present moment: for the edges, where a call learns what time it is.
    pub fn now() -> Self {
        Self::from_time(OffsetDateTime::now_utc())
    }

    /// Milliseconds since 1970-01-01 UTC. A moment outside the years 0 to 9999 becomes 1970.
    pub fn from_millis(millis: i64) -> Self {
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000);
        Self(time.ok().filter(|time| (0..=9999).contains(&time.year())).unwrap_or(OffsetDateTime::UNIX_EPOCH))
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub fn millis(self) -> i64 {
        i64::try_from(self.0.unix_timestamp_nanos().div_euclid(1_000_000)).expect("the years 0 to 9999 fit")
    }

    /// Its day, `2026-11-22`: as text, days sort as they pass.
    pub fn day(self) -> String {
        self.0.date().to_string()
    }

    fn from_time(time: OffsetDateTime) -> Self {
        Self::from_millis(i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or_default())
    }
}

/// A text is no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no moment of RFC 3339 within the years 0 to 9999")]
pub struct NoMoment;

impl FromStr for Stamp {
    type Err = NoMoment;

    /// RFC 3339, in any zone; in UTC within the years 0 to 9999.
    fn from_str(text: &str) -> Result<Self, NoMoment> {
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| NoMoment)?;
        let utc = at.checked_to_offset(time::UtcOffset::UTC).filter(|utc| (0..=9999).contains(&utc.year()));
        utc.map(Self::from_time).ok_or(NoMoment)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl ToSchema for Stamp {}

impl PartialSchema for Stamp {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::Custom("date-time".into());
        ObjectBuilder::new().schema_type(openapi::Type::String).format(Some(format)).into()
    }
}

impl Type<Sqlite> for Stamp {
    fn type_info() -> SqliteTypeInfo {
        <i64 as Type<Sqlite>>::type_info()
    }

    fn compatible(ty: &SqliteTypeInfo) -> bool {
        <i64 as Type<Sqlite>>::compatible(ty)
    }
}

impl Encode<'_, Sqlite> for Stamp {
    fn encode_by_ref(&self, buffer: &mut <Sqlite as sqlx::Database>::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Sqlite>::encode_by_ref(&self.millis(), buffer)
    }
}

impl Decode<'_, Sqlite> for Stamp {
    fn decode(value: <Sqlite as sqlx::Database>::ValueRef<'_>) -> Result<Self, BoxDynError> {
        <i64 as Decode<Sqlite>>::decode(value).map(Self::from_millis)
    }
}

impl Type<Postgres> for Stamp {
    fn type_info() -> PgTypeInfo {
        <OffsetDateTime as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Stamp {
    fn encode_by_ref(&self, buffer: &mut <Postgres as sqlx::Database>::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Postgres>::encode_by_ref(&self.0, buffer)
    }
}

impl Decode<'_, Postgres> for Stamp {
    fn decode(value: <Postgres as sqlx::Database>::ValueRef<'_>) -> Result<Self, BoxDynError> {
        <OffsetDateTime as Decode<Postgres>>::decode(value).map(Self::from_time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_whole_milliseconds_and_prints_as_rfc_3339() {
        let stamp = Stamp::from_millis(1_795_360_000_007);
        assert_eq!(stamp.to_string(), "2026-11-22T15:06:40.007Z");
        assert_eq!(stamp.millis(), 1_795_360_000_007);
        assert_eq!(stamp.day(), "2026-11-22");
        assert_eq!(Stamp::from_millis(0).day(), "1970-01-01");
        assert_eq!(Stamp::from_millis(-1).millis(), -1);
        assert_eq!("2026-11-22T18:06:40.007+03:00".parse(), Ok(stamp));
        for wrong in ["2026-11-22", "9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+00:01", "soon"] {
            assert!(wrong.parse::<Stamp>().is_err(), "{wrong}");
        }
        assert_eq!(Stamp::from_millis(i64::MAX).millis(), 0);
        assert_eq!(Stamp::from_millis(Stamp::now().millis()), Stamp::from_millis(Stamp::now().millis()));
    }
}
