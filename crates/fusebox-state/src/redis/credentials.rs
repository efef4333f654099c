//! Who we say we are, and keeping it to ourselves.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Passwords that are remembered, to take them out of messages: the present one and those that
/// connections still open were made with.
const REMEMBERED: usize = 4;

/// A user and a password; the default is neither.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    user: Option<String>,
    password: Option<String>,
}

impl Credentials {
    /// A server without users takes the password alone; without a password nobody logs in.
    pub fn new(user: Option<&str>, password: Option<&str>) -> Self {
        Self {
            user: user.map(str::to_owned),
            password: password.map(str::to_owned),
        }
    }

    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    pub(crate) fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "[redacted]"))
            .finish()
    }
}

/// Gives the credentials of a login; see
/// [`RedisConfig::with_credentials`](crate::RedisConfig::with_credentials).
pub type CredentialsProvider = Arc<dyn Fn() -> Credentials + Send + Sync>;

/// Where credentials come from. Clones share what they remember.
#[derive(Clone)]
pub(crate) struct Login {
    provider: Option<CredentialsProvider>,
    fixed: Credentials,
    given: Arc<Mutex<VecDeque<String>>>,
}

impl Login {
    pub(crate) fn fixed(fixed: Credentials) -> Self {
        Self {
            provider: None,
            fixed,
            given: Arc::default(),
        }
    }

    pub(crate) fn provided(provider: CredentialsProvider) -> Self {
        Self {
            provider: Some(provider),
            ..Self::fixed(Credentials::default())
        }
    }

    /// For the next connection.
    pub(crate) fn credentials(&self) -> Credentials {
        let Some(provider) = &self.provider else {
            return self.fixed.clone();
        };
        let credentials = provider();
        if let Some(password) = credentials.password() {
            let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
            if !given.iter().any(|known| known == password) {
                given.push_front(password.to_owned());
                given.truncate(REMEMBERED);
            }
        }
        credentials
    }

    /// Takes the passwords out of what somebody else wrote.
    pub(crate) fn redact(&self, mut text: String) -> String {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let given = given.iter().map(String::as_str);
        for password in given.chain(self.fixed.password()) {
            if !password.is_empty() {
                text = text.replace(password, "[redacted]");
            }
        }
        text
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.provider {
            Some(_) => f.write_str("[provided]"),
            None => self.fixed.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_the_past_show_nowhere_either() {
        let turn = Arc::new(Mutex::new(0));
        let login = Login::provided(Arc::new(move || {
            let mut turn = turn.lock().unwrap();
            *turn += 1;
            Credentials::new(Some("worker"), Some(&format!("hunter{turn}")))
        }));
        let first = login.credentials();
        assert_eq!(first.password(), Some("hunter1"));
        assert_eq!(login.credentials().password(), Some("hunter2"));
        let text = login.redact("hunter1 and hunter2".into());
        assert_eq!(text, "[redacted] and [redacted]");
        assert!(!format!("{login:?} {first:?}").contains("hunter"));
    }
}
