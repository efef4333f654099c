//! Questions to every primary: which partitions there are, and what is amiss.

use redis::RedisError;
use tokio::time::timeout;

use super::class::{self, Class};
use super::fault::Fault;
use super::health;
use super::link::Link;
use super::node::{Node, is_not_told};
use crate::{Page, Partition, StoreError};

/// One page of one server's names; the servers follow each other in order of their addresses. A
/// listing whose server is gone starts over, since its successor hands out names in another order.
pub(crate) async fn partitions(
    link: &Link,
    prefix: &str,
    cursor: Option<&str>,
    limit: usize,
) -> Result<Page<Partition>, StoreError> {
    let from = match cursor {
        None => None,
        Some(cursor) => Some(place(cursor).ok_or_else(|| {
            StoreError::misconfigured("the cursor is not one of this store; start without cursor")
        })?),
    };
    within(link, "partitions", async {
        let primaries = link.servers().primaries().await?;
        let place_of = |address: &str| {
            let mut addresses = primaries.iter().map(|node| node.address().to_string());
            addresses.position(|known| known == address)
        };
        let from = from.and_then(|(cursor, address)| Some((place_of(address)?, cursor)));
        let (at, cursor) = from.unwrap_or((0, 0));
        let node = primaries.get(at).ok_or_else(|| {
            Fault::Nowhere(format!(
                "no server of {} has slots",
                link.config().location()
            ))
        })?;
        let scanned = node.listings.scan(prefix, cursor, limit).await;
        let (found, cursor) = scanned.inspect_err(|fault| suspect(link, node, fault))?;
        let next = match cursor {
            0 => primaries.get(at + 1).map(|next| (0, next)),
            cursor => Some((cursor, node)),
        };
        let next = next.map(|(cursor, node)| format!("{cursor}@{}", node.address()));
        Ok(Page::new(found, next))
    })
    .await
}

/// What an operator should know, one sentence each. Of several servers one that does not answer is
/// such a thing too.
pub(crate) async fn warnings(link: &Link) -> Result<Vec<String>, StoreError> {
    within(link, "health", async {
        let primaries = link.servers().primaries().await?;
        let mut all = Vec::new();
        for node in &primaries {
            let here = match node.listings.info().await {
                Ok(info) => health::warnings(Some(&info), link.config().replicas()),
                Err(Fault::Answer(_, error)) if is_not_told(&error) => health::warnings(None, 0),
                Err(fault) => {
                    suspect(link, node, &fault);
                    if primaries.len() == 1 || fault.class() == Class::Configuration {
                        return Err(fault);
                    }
                    let words = link.config().redact(fault.words(link.config()));
                    vec![format!("it does not answer ({words}); see to it")]
                }
            };
            all.extend(here.into_iter().map(|warning| match primaries.len() {
                1 => warning,
                _ => format!("{}: {warning}", node.address()),
            }));
        }
        Ok(all)
    })
    .await
}

/// As [`warnings`], where there is something to start with even if they cannot be had now.
pub(crate) async fn first_warnings(link: &Link) -> Result<Vec<String>, StoreError> {
    match warnings(link).await {
        Err(StoreError::Unavailable { cause, .. }) => Ok(vec![format!(
            "the settings could not be looked at ({cause})"
        )]),
        other => other,
    }
}

async fn within<T>(
    link: &Link,
    op: &'static str,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, StoreError> {
    let config = link.config();
    let limit = config.deadline();
    let late = |_| {
        let location = config.location();
        Err(Fault::Nowhere(format!(
            "no answer from {location} within {limit:?}"
        )))
    };
    let done = timeout(limit, work).await.unwrap_or_else(late);
    done.map_err(|fault| fault.into_error(op, config, false))
}

fn suspect(link: &Link, node: &Node, fault: &Fault) {
    let lost = |error: &RedisError| class::ends_connection(error);
    if fault.class() == Class::NotYet || matches!(fault, Fault::Answer(_, error) if lost(error)) {
        link.servers().suspect(node);
    }
}

/// What [`partitions`] gave out.
fn place(cursor: &str) -> Option<(u64, &str)> {
    let (number, address) = cursor.split_once('@')?;
    Some((number.parse().ok()?, address))
}
