//! What goes out over a trunk: calls and texts, to whom there, and as whom.

use milo_signaling::{Caller, Outgoing, SignalingError, Uri};

use super::{CALLER, Shown, Trunk};

impl Trunk {
    /// Calls a number over this trunk; without one, the gateway itself.
    ///
    /// # Errors
    /// Those of [`Caller::call`]; a trunk without a gateway cannot be called out over.
    pub async fn call(&self, from_here: &Caller, number: &str, shown: &Shown<'_>) -> Result<Outgoing, SignalingError> {
        let target = self.addressed(number)?;
        let introduction = self.introduce(&target, shown);
        let caller = self.caller(from_here);
        match &self.credentials {
            Some(credentials) => caller.call_as(&target, introduction, credentials.clone()).await,
            None => caller.call(&target, introduction).await,
        }
    }

    /// Sends a text to a number over this trunk: the status of the answer.
    ///
    /// # Errors
    /// Those of [`Caller::text`]; a trunk without a gateway cannot be sent anything over.
    pub async fn text(
        &self,
        from_here: &Caller,
        number: &str,
        from: Option<&str>,
        text: &str,
    ) -> Result<u16, SignalingError> {
        let target = self.addressed(number)?;
        let from = self.from(self.caller_id(from, ""));
        self.caller(from_here).text(&target, &from, text, self.credentials.clone()).await
    }

    /// The address of a number behind the trunk's gateway.
    fn addressed(&self, number: &str) -> Result<Uri, SignalingError> {
        let wrong = |reason: &str| SignalingError::Target { target: number.to_owned(), reason: reason.to_owned() };
        let mut target = self.way_out().cloned().ok_or_else(|| wrong("the trunk has no gateway"))?;
        if let Uri::Sip(sip) = &mut target
            && !number.is_empty()
        {
            let Uri::Sip(called) = Uri::sip(Some(number), sip.host.clone(), sip.port) else {
                return Err(wrong("it is no number"));
            };
            sip.user = called.user;
        }
        Ok(target)
    }

    /// What Milo is called where the trunk has it registered.
    pub(super) fn address_of_record(&self) -> Option<&Uri> {
        self.registrar().and_then(|registrar| registrar.address_of_record.as_ref())
    }

    /// From with this number or name. A carrier wants to see its own domain there, a PBX beside us takes any.
    pub(super) fn from(&self, id: String) -> String {
        match self.address_of_record().and_then(Uri::host) {
            Some(host) => Uri::sip(Some(&id), host.clone(), None).to_string(),
            None => id,
        }
    }

    /// A call out over it came to nothing, with this status and these words, which speak of the trunk and not of whom it called.
    pub fn failed(&self, status: u16, reason: &str) {
        let fault = format!("a call out: {status} {reason}");
        let is_news = self.fault.send_if_modified(|known| known.replace(fault.clone()).as_ref() != Some(&fault));
        if is_news {
            tracing::warn!(trunk = self.name(), fault, "a trunk did not carry a call");
        }
    }

    /// Who calls: what the plan says, else what the trunk says, else our name there. A caller's number counts where it is one: it
    /// may have written anything there, a whole address among it.
    pub fn caller_id(&self, from: Option<&str>, caller: &str) -> String {
        let rule = self
            .caller_id
            .as_deref()
            .and_then(|rule| if rule == CALLER { number(caller) } else { Some(rule).filter(|id| !id.is_empty()) });
        from.or(rule).or(self.settings.username.as_deref()).unwrap_or("milo").to_owned()
    }
}

/// Whether this can be called over a trunk.
pub fn is_number(text: &str) -> bool {
    let dialled = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+*#".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(dialled)
}

/// What a caller says it is, where that is a number or a name.
pub fn number(caller: &str) -> Option<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
    (!caller.is_empty() && caller.bytes().all(plain)).then_some(caller)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_passes_on_its_number_and_no_address() {
        for caller in ["+261341234567", "034", "milo_2.a-b"] {
            assert_eq!(number(caller), Some(caller));
        }
        for caller in ["", "sip:boss@bank.example", "tel:+261200", "a@b", "a b", "a;x", "<a>", "0%34", "é"] {
            assert_eq!(number(caller), None, "{caller}");
        }
    }
}
