//! An answer that comes as a stream, judged when it is over.

use std::time::SystemTime;

use fusebox_agent::{AgentError, Context};
use serde_json::Value;
use tokio::time::Instant;

use super::answer::Answer;
use super::sse::{Event, Events};
use crate::trace;
use crate::web::{Body, Client, Failure, Phase, judge};

/// How a stream says that it is at its end.
const DONE: &str = "[DONE]";

/// Reads a stream to its end, of a request `sent` at that time.
///
/// It is whole when it says `[DONE]`, or when it ends after its choice was said to be finished: some
/// leave the former out. A comment is a sign of life, and no token.
pub(super) async fn read(
    body: &mut Body,
    client: &Client,
    cx: &Context,
    sent: Instant,
) -> Result<Answer, Failure> {
    let mut answer = Answer::default();
    let result = fill(&mut answer, body, client, cx, sent).await;
    trace::said(&answer);
    result.map(|()| answer)
}

async fn fill(
    answer: &mut Answer,
    body: &mut Body,
    client: &Client,
    cx: &Context,
    sent: Instant,
) -> Result<(), Failure> {
    let limit = client.limits.first_token;
    let first_by = Instant::now().checked_add(limit);
    let mut has_begun = false;
    let mut events = Events::default();
    loop {
        let chunk = match has_begun {
            true => body.chunk().await,
            false => body.chunk_by(first_by, Phase::FirstToken, limit).await,
        };
        let bytes = match chunk {
            Ok(Some(bytes)) => bytes,
            Ok(None) if answer.is_finished() => return Ok(()),
            Ok(None) => {
                let error = AgentError::api("broke off its answer");
                let detail = "the stream ended without saying that it was at its end";
                return Err(body.failure(Phase::Truncated, error, detail));
            }
            // All of the answer was there; what is missing is its usage.
            Err(_) if answer.is_finished() => return Ok(()),
            Err(failure) => return Err(failure),
        };
        cx.heartbeat();
        for event in events.push(&bytes) {
            if event.data.trim() == DONE {
                return Ok(());
            }
            let chunk = understand(&event, body, client)?;
            let (text, brings) = answer.add(&chunk);
            if brings && !has_begun {
                has_begun = true;
                answer.first_piece_after = Some(sent.elapsed());
            }
            if !text.is_empty() {
                let waited = Instant::now();
                cx.piece(text).await.map_err(|gone| {
                    body.failure(Phase::Broken, gone, "nobody reads the answer any more")
                })?;
                body.pardon(waited.elapsed());
            }
        }
    }
}

fn understand(event: &Event, body: &Body, client: &Client) -> Result<Value, Failure> {
    let data = event.data.as_bytes();
    // The headers are those of an answer that was good so far: no hint of theirs is about this.
    let (no_headers, scrubber) = (Default::default(), &client.scrubber);
    judge(200, &no_headers, data, SystemTime::now(), scrubber)
        .map_err(|refusal| Failure::refused(Phase::MidStream, refusal).may_have_run(true))?;
    if event.name == "error" {
        let error = AgentError::api("failed within its answer");
        let detail = "an event called `error` that does not say why";
        return Err(body.failure(Phase::MidStream, error, detail));
    }
    serde_json::from_slice(data).map_err(|error| {
        let what = AgentError::invalid_output("sent a stream of something that is no JSON");
        body.failure(Phase::Unreadable, what, error.to_string())
    })
}
