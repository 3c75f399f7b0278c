//! The verb `request`: what a caller wants of people who are not on the line is written down; a call back may be Milo's own to place, by a
//! standing campaign.

use serde_json::json;

use super::notes::Notes;
use crate::{
    campaign::{Campaigns, Wish},
    dialplan::{CALL_BACK_AT, CALL_BACK_WHY, Request, Variables},
    store::{CallBack, NewRequest, Stamp},
    trunk::is_nobody,
};

/// What a caller is told who has another number called back already.
const ONE: &str = "one number is called back for a call";

impl Notes {
    /// Writes down what the caller wants of the people of the house, as they say it also where the log keeps no words: they want it read.
    /// Where a campaign is to call back, what came of that is in the variables from then on. Returns those.
    ///
    /// # Errors
    /// What of it is missing.
    pub(super) async fn request(
        &self,
        request: &Request,
        variables: &mut Variables,
        campaigns: &Campaigns,
    ) -> Result<Vec<(String, String)>, &'static str> {
        let words = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let own = || words(variables.caller()).filter(|caller| !is_nobody(caller));
        let telephone = words(&request.telephone).or_else(own);
        request.check(telephone.as_deref())?;
        let (kind, at) = (request.kind.as_str(), Stamp::now());
        let (wanted, text) = (words(&request.wanted), words(&request.text));
        let ordered = match (&request.campaign, &telephone) {
            (Some(campaign), Some(number)) => {
                let wish = Wish {
                    campaign,
                    telephone: number,
                    wanted: wanted.as_deref().unwrap_or_default(),
                    subject: text.as_deref().unwrap_or_default(),
                    language: self.speaker().1,
                };
                Some(self.order(wish, variables, campaigns).await)
            }
            _ => None,
        };
        let back = ordered.as_ref().and_then(|ordered| Some(ordered.as_ref().ok()?.0));
        let new = NewRequest { kind: kind.into(), telephone, wanted, text, at, back };
        let id = self.log.request(new);
        let (said_at, why) = match &ordered {
            Some(Ok((_, shown))) => (Some(shown.clone()), None),
            Some(Err(why)) => (None, Some(why.clone())),
            None => (None, None),
        };
        self.event("requested", json!({ "kind": kind, "request": id, "call_back_at": said_at, "why": why }));
        if ordered.is_none() {
            return Ok(Vec::new());
        }
        let told = [(CALL_BACK_AT, said_at), (CALL_BACK_WHY, why)];
        let told = told.map(|(name, value)| (name.to_owned(), value.unwrap_or_default()));
        told.iter().for_each(|(name, value)| variables.set(name, value.clone()));
        Ok(told.into())
    }

    /// Has Milo call back, one number for a call.
    async fn order(
        &self,
        wish: Wish<'_>,
        variables: &Variables,
        campaigns: &Campaigns,
    ) -> Result<(CallBack, String), String> {
        let Some(is_new) = self.may_call_back(&campaigns.target(wish.telephone)) else { return Err(ONE.into()) };
        let ordered = campaigns.call_back(wish, |name| variables.value(name).to_owned()).await;
        if is_new && ordered.is_err() {
            self.calls_nobody_back();
        }
        ordered
    }
}
