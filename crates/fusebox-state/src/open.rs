//! A store by its URL.

use std::sync::Arc;

use crate::{MemoryStore, StateStore, StoreError};

/// Opens the store that `url` names.
///
/// | URL | store | feature |
/// |---|---|---|
/// | `memory:` | [`MemoryStore`], a new one each time | none |
/// | `sqlite:PATH` | `EmbeddedStore` | `embedded` |
/// | `redis://[user:password@]host[:port][/db]` | `RedisStore` on one server | `redis` |
/// | `redis+unix:///path/to/socket` | the same through a socket | `redis` |
/// | `redis+sentinel://host[:port],…/SERVICE[/db]` | `RedisStore` on the primary that Sentinels name | `redis` |
/// | `redis+cluster://host[:port],…` | `RedisStore` on a cluster | `redis` |
/// | `rediss://`, `rediss+sentinel://`, `rediss+cluster://` | the same over TLS | `redis-tls` |
///
/// `valkey` stands for `redis` anywhere. What may follow after `?` is in the table of
/// `RedisConfig::from_url`.
///
/// # Errors
/// [`StoreError::Misconfigured`] for another URL or parameter, a missing feature or a refused login;
/// otherwise as the store's own constructor. Passwords are not repeated.
pub async fn open(url: &str) -> Result<Arc<dyn StateStore>, StoreError> {
    let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
    match scheme {
        "memory" => Ok(Arc::new(MemoryStore::new())),
        "sqlite" => embedded(rest),
        _ if is_redis(scheme) => redis(url).await,
        // Not the whole URL: it may hold a password.
        _ => Err(StoreError::misconfigured(format!(
            "`{scheme}` is no kind of store; use memory:, sqlite:PATH or redis://HOST"
        ))),
    }
}

#[cfg(feature = "embedded")]
fn embedded(path: &str) -> Result<Arc<dyn StateStore>, StoreError> {
    Ok(Arc::new(crate::EmbeddedStore::open(path)?))
}

#[cfg(not(feature = "embedded"))]
fn embedded(_: &str) -> Result<Arc<dyn StateStore>, StoreError> {
    Err(missing("sqlite:", "embedded"))
}

#[cfg(feature = "redis")]
use crate::redis::is_scheme as is_redis;

#[cfg(not(feature = "redis"))]
fn is_redis(scheme: &str) -> bool {
    scheme.starts_with("redis") || scheme.starts_with("valkey")
}

#[cfg(feature = "redis")]
async fn redis(url: &str) -> Result<Arc<dyn StateStore>, StoreError> {
    Ok(Arc::new(
        crate::RedisStore::connect(crate::RedisConfig::from_url(url)?).await?,
    ))
}

#[cfg(not(feature = "redis"))]
async fn redis(_: &str) -> Result<Arc<dyn StateStore>, StoreError> {
    Err(missing("redis://", "redis"))
}

#[cfg(not(all(feature = "embedded", feature = "redis")))]
fn missing(scheme: &str, feature: &str) -> StoreError {
    StoreError::misconfigured(format!(
        "this build has no `{scheme}` store; enable the feature `{feature}` of fusebox-state"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unknown_url_names_the_schemes_and_keeps_its_secret() {
        for url in ["mongodb://u:hunter2@host", "nothing"] {
            let error = open(url).await.unwrap_err();
            assert!(error.to_string().contains("redis://"), "{error}");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }

    #[tokio::test]
    async fn memory_opens_without_any_feature() {
        assert_eq!(open("memory:").await.unwrap().describe().kind, "memory");
    }

    #[cfg(not(feature = "embedded"))]
    #[tokio::test]
    async fn a_missing_feature_is_named() {
        let error = open("sqlite:x.db").await.unwrap_err();
        assert!(error.to_string().contains("feature `embedded`"), "{error}");
    }
}
