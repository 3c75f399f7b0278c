//! The table `call_analyses`: what the model has written down of a call once it was over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::{QueryBuilder, types::Json};

use super::{
    Batch, Key, LogWriter, Stamp, Store, StoreError,
    entry::Entry,
    writer::{LONGEST_TEXT, tidy, tidy_json},
};
use crate::config::CallEvent;

/// What the persona wanted of it; what was not wanted is null, or empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Findings {
    /// The call in two or three sentences.
    #[schema(example = "Le client demande le prix du billet et prend rendez-vous mardi.")]
    pub summary: Option<String>,
    /// What came of the call, one of the persona's `outcomes`.
    #[schema(example = "appointment")]
    pub outcome: Option<String>,
    /// The mood of whoever spoke with Milo: `positive`, `neutral` or `negative`.
    #[schema(example = "positive")]
    pub sentiment: Option<String>,
    /// Those of the persona's `tags` that fit.
    #[schema(example = json!(["price"]))]
    pub tags: Vec<String>,
    /// The persona's `fields` by their names; null where the call says nothing of one.
    #[schema(value_type = std::collections::BTreeMap<String, Value>, example = json!({"order": "A-17"}))]
    pub fields: Map<String, Value>,
}

/// A row: when, what came of it, and why nothing did.
type Row = (Stamp, Option<Json<Findings>>, Option<String>);
/// The same, behind its call.
type RowOfCall = (Key, Stamp, Option<Json<Findings>>, Option<String>);

/// The analysis of a call, as it is written, told and shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Analysis {
    /// When it was made.
    pub at: Stamp,
    /// What came of it.
    #[serde(flatten)]
    pub findings: Findings,
    /// Why nothing came of it; null where something did.
    #[schema(example = json!(null))]
    pub failed: Option<String>,
}

impl LogWriter {
    /// A call was analysed, or could not be.
    pub fn analysed(&self, call: Key, mut analysis: Analysis) {
        let Findings { summary, fields, .. } = &mut analysis.findings;
        summary.iter_mut().chain(&mut analysis.failed).for_each(|text| tidy(text, LONGEST_TEXT));
        fields.values_mut().for_each(tidy_json);
        self.tell(call, CallEvent::Analysed, analysis.at, || serde_json::to_value(&analysis).unwrap_or_default());
        self.put(Entry::Analysed(call, analysis));
    }
}

impl Store {
    /// What was written down of a call, if anything was.
    pub async fn analysis(&self, call: Key) -> Result<Option<Analysis>, StoreError> {
        let row: Option<Row> = on!(Pool, &self.pool, pool => {
            sqlx::query_as("SELECT at, result, why FROM call_analyses WHERE call = $1").bind(call).fetch_optional(pool).await
        })
        .map_err(|error| self.failed("reading an analysis", error))?;
        Ok(row.map(Analysis::of))
    }

    /// The same of all of these calls; those of which nothing was are left out.
    pub async fn analyses(&self, calls: &[Key]) -> Result<BTreeMap<Key, Analysis>, StoreError> {
        if calls.is_empty() {
            return Ok(BTreeMap::new());
        }
        let found: Result<Vec<RowOfCall>, _> = on!(Pool, &self.pool, pool => {
            let mut query = QueryBuilder::new("SELECT call, at, result, why FROM call_analyses WHERE call IN (");
            let mut all = query.separated(", ");
            for call in calls {
                all.push_bind(*call);
            }
            query.push(")");
            query.build_query_as().fetch_all(pool).await
        });
        let rows = found.map_err(|error| self.failed("reading analyses", error))?;
        Ok(rows.into_iter().map(|(call, at, findings, failed)| (call, Analysis::of((at, findings, failed)))).collect())
    }
}

impl Analysis {
    fn of((at, findings, failed): Row) -> Self {
        let findings = findings.map(|Json(findings)| findings).unwrap_or_default();
        Self { at, findings, failed }
    }
}

impl Batch {
    /// Writes the analysis of a call that is still in the log. Written twice, it stays as it is.
    pub(super) async fn insert_analysis(&mut self, call: Key, analysis: &Analysis) -> Result<(), sqlx::Error> {
        let Analysis { at, findings, failed } = analysis;
        on!(Batch, self, rows => sqlx::query(
            "INSERT INTO call_analyses (call, at, result, why) SELECT id, $2, $3, $4 FROM calls WHERE id = $1 ON CONFLICT DO NOTHING",
        )
        .bind(call)
        .bind(at)
        .bind(failed.is_none().then_some(Json(findings)))
        .bind(failed)
        .execute(&mut **rows)
        .await
        .map(drop))
    }
}
