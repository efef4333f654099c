//! Who operates.

use fusebox::orchestrator::By;

use crate::args::ByArgs;

/// As the session names them; whoever needs more than a name has `--by`.
pub(crate) fn user() -> String {
    let named = |variable| std::env::var(variable).ok().filter(|name| !name.is_empty());
    named("USER")
        .or_else(|| named("LOGNAME"))
        .unwrap_or_else(|| "unknown".to_owned())
}

impl ByArgs {
    pub(crate) fn by(&self) -> By {
        let actor = self.by.clone().unwrap_or_else(user);
        By::new(actor, &self.reason)
    }
}
