//! One request and its answer on one connection.

use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{
    ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value, from_redis_value,
};

use super::scripts::Request;

/// Where in a cluster's move of a slot the server is that gets the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    No,
    /// It takes the slot over: without the word it sends us back.
    Yes,
}

/// What to wait for after a write, before its answer counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wait {
    pub(crate) replicas: u8,
    pub(crate) fsync: bool,
    /// For each of the two.
    pub(crate) within: Duration,
}

/// What a server said, and what it had done by then.
pub(crate) struct Answer {
    pub(crate) value: Value,
    pub(crate) replicas: u8,
    pub(crate) fsynced: bool,
}

/// Sends the request, after loading its script if the server does not have it.
pub(crate) async fn exchange(
    connection: &mut impl ConnectionLike,
    request: &Request,
    asking: Asking,
) -> RedisResult<Value> {
    match send(connection, request, asking).await {
        Err(error) if is_unknown_script(&error) => {
            load(connection, request, error).await?;
            send(connection, request, asking).await
        }
        answered => answered,
    }
}

/// As [`exchange`], in one round trip with the wait. It blocks the connection, so nobody else may
/// use that. Counts for a repeated write too: the server waits for all it had done when asked.
pub(crate) async fn exchange_and_wait(
    connection: &mut impl ConnectionLike,
    request: &Request,
    asking: Asking,
    wait: Wait,
) -> RedisResult<Answer> {
    match send_and_wait(connection, request, asking, wait).await {
        Err(error) if is_unknown_script(&error) => {
            load(connection, request, error).await?;
            send_and_wait(connection, request, asking, wait).await
        }
        answered => answered,
    }
}

async fn send(
    connection: &mut impl ConnectionLike,
    request: &Request,
    asking: Asking,
) -> RedisResult<Value> {
    if asking == Asking::No {
        let answer = connection.req_packed_command(&request.to_command()).await?;
        return answer.extract_error();
    }
    let mut all = redis::pipe();
    all.cmd("ASKING").add_command(request.to_command());
    let mut answers = answers(connection, &all).await?;
    next(&mut answers)?.extract_error()?;
    next(&mut answers)?.extract_error()
}

async fn send_and_wait(
    connection: &mut impl ConnectionLike,
    request: &Request,
    asking: Asking,
    wait: Wait,
) -> RedisResult<Answer> {
    // 0 would mean for ever.
    let within = wait.within.as_millis().max(1).to_string();
    let mut all = redis::pipe();
    if asking == Asking::Yes {
        all.cmd("ASKING");
    }
    all.add_command(request.to_command());
    if wait.fsync {
        all.cmd("WAITAOF").arg(1).arg(0).arg(&within);
    }
    if wait.replicas > 0 {
        all.cmd("WAIT").arg(wait.replicas).arg(&within);
    }
    let mut answers = answers(connection, &all).await?;
    if asking == Asking::Yes {
        next(&mut answers)?.extract_error()?;
    }
    let value = next(&mut answers)?.extract_error()?;
    // The write is done: an error from here on only means that less is known of it.
    let mut fsynced = false;
    if wait.fsync {
        let reached = from_redis_value(next(&mut answers)?);
        fsynced = reached.is_ok_and(|(here, _there): (u64, u64)| here > 0);
    }
    let mut replicas = 0;
    if wait.replicas > 0 {
        let reached: u64 = from_redis_value(next(&mut answers)?).unwrap_or(0);
        replicas = at_most(wait.replicas, reached);
    }
    Ok(Answer {
        value,
        replicas,
        fsynced,
    })
}

/// More that happened to be as quick are no promise that the next write could keep.
pub(crate) fn at_most(wanted: u8, reached: u64) -> u8 {
    u8::try_from(reached).map_or(wanted, |reached| reached.min(wanted))
}

/// All answers, errors of the server among them.
async fn answers(
    connection: &mut impl ConnectionLike,
    commands: &Pipeline,
) -> RedisResult<std::vec::IntoIter<Value>> {
    let answers = connection.req_packed_commands(commands, 0, commands.len());
    Ok(answers.await?.into_iter())
}

fn next(answers: &mut std::vec::IntoIter<Value>) -> RedisResult<Value> {
    answers.next().ok_or_else(|| {
        (
            ErrorKind::UnexpectedReturnType,
            "the server gave fewer answers than it got commands",
        )
            .into()
    })
}

fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

async fn load(
    connection: &mut impl ConnectionLike,
    request: &Request,
    error: RedisError,
) -> RedisResult<()> {
    match request.script() {
        Some(script) => script.load_async(connection).await.map(drop),
        None => Err(error),
    }
}
