//! What a running Milo tells whoever has started it.

use super::Server;
use crate::store::Stamp;

impl Server {
    /// Where the web page is.
    fn page(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        match self.http.0 {
            // Every address is none that can be opened.
            at if at.ip().is_unspecified() => format!("{scheme}://localhost:{}/", at.port()),
            at => format!("{scheme}://{at}/"),
        }
    }

    /// What signs in to the web page, once, for the eyes of whoever started Milo: never for a log. Behind the `#` it goes to no server and
    /// no proxy by itself. `None`: it is switched off.
    pub fn sign_in(&self) -> Option<String> {
        let (seconds, now) = (self.link_lasts.as_secs(), Stamp::now());
        let until = Stamp::from_millis(now.millis() + self.link_lasts.as_millis() as i64);
        let link = (seconds > 0).then(|| self.keys.sign_ins().link(until, now)).flatten()?;
        let within = if seconds < 120 { format!("{seconds} seconds") } else { format!("{} minutes", seconds / 60) };
        Some(format!("  sign in, once, within {within}:\n        {}#sign-in={}", self.page(), link.reveal()))
    }

    /// What a person who started Milo wants to read.
    pub fn welcome(&self) -> String {
        let page = self.page();
        let edition = self.house.editions.current();
        let mut lines = vec![format!("Milo {} is up.", env!("CARGO_PKG_VERSION")), format!("  open  {page}")];
        lines.extend(self.dial.iter().filter(|dial| dial.number == "milo").map(|dial| format!("  call  {}", dial.uri)));
        let others: Vec<_> = edition.dialplans.numbers().filter(|number| *number != "milo").collect();
        if !others.is_empty() {
            lines.push(format!("        or, in place of milo: {}", others.join(", ")));
        }
        if self.house.engines.models().iter().any(|model| model.demonstration) {
            let notice = "The models that ship are demonstration models, small and trained on synthetic speech; \
                          README.md says how to put others in their place.";
            lines.push(notice.into());
        }
        lines.join("\n")
    }

    /// Where a number can be dialled.
    pub fn dial(&self, number: &str) -> Option<String> {
        self.dial.iter().find(|dial| dial.number == number).map(|dial| dial.uri.clone())
    }
}
