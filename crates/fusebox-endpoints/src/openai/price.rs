//! What tokens cost.

use std::fmt;

use fusebox_policy::Spend;

/// Bytes of a request that are taken for one token: of English text a token has about four, of
/// other languages and of JSON fewer. An estimate; the other side tells what it was.
const BYTES_PER_TOKEN: usize = 3;

const MILLION: u128 = 1_000_000;

/// What a million tokens cost, in micro-dollars: 150,000 is 0.15 US dollars. Default: nothing, as
/// of a model of one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Price {
    /// For a million tokens of requests.
    pub input: u64,
    /// For a million tokens of answers.
    pub output: u64,
}

impl Price {
    /// Micro-dollars for a million tokens of requests and of answers.
    #[must_use]
    pub const fn per_million(input: u64, output: u64) -> Self {
        Self { input, output }
    }

    /// What a call cost, rounded up to a micro-dollar.
    pub(super) fn spend(self, usage: Usage) -> Spend {
        let parts = [(usage.prompt, self.input), (usage.completion, self.output)];
        let parts = parts.map(|(tokens, price)| u128::from(tokens) * u128::from(price));
        let micro_dollars = (parts[0] + parts[1]).div_ceil(MILLION);
        Spend::new(
            usage.total(),
            u64::try_from(micro_dollars).unwrap_or(u64::MAX),
        )
    }

    /// What a call may cost.
    pub(super) fn estimate(self, request_bytes: usize, answer_tokens: u64) -> Spend {
        self.spend(Usage {
            prompt: request_bytes.div_ceil(BYTES_PER_TOKEN) as u64,
            completion: answer_tokens,
            cached: None,
            reasoning: None,
        })
    }
}

/// Tokens used by a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "tracing"),
    allow(dead_code, reason = "some of it only a span tells")
)]
pub(crate) struct Usage {
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
    /// Those of the prompt that came from a cache, where that is told.
    pub(crate) cached: Option<u64>,
    /// Those of the completion that were thought and not said, where that is told.
    pub(crate) reasoning: Option<u64>,
}

impl Usage {
    /// As the other side tells it; a call without a completion has none of its tokens either.
    pub(super) fn read(usage: &serde_json::Value) -> Option<Self> {
        Some(Self {
            prompt: usage["prompt_tokens"].as_u64()?,
            completion: usage["completion_tokens"].as_u64().unwrap_or(0),
            cached: usage["prompt_tokens_details"]["cached_tokens"].as_u64(),
            reasoning: usage["completion_tokens_details"]["reasoning_tokens"].as_u64(),
        })
    }

    pub(super) fn total(self) -> u64 {
        self.prompt.saturating_add(self.completion)
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens in, {} out", self.prompt, self.completion)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_micro_dollar_is_charged_as_one() {
        let price = Price::per_million(150_000, 600_000);
        let usage = |prompt, completion| Usage {
            prompt,
            completion,
            cached: None,
            reasoning: None,
        };
        assert_eq!(price.spend(usage(1000, 500)), Spend::new(1500, 450));
        assert_eq!(price.spend(usage(1, 0)), Spend::new(1, 1));
        assert_eq!(price.spend(usage(0, 0)), Spend::ZERO);
        assert_eq!(Price::default().spend(usage(7, 8)), Spend::tokens(15));
        let most = price.spend(usage(u64::MAX, u64::MAX));
        assert_eq!(most.tokens, u64::MAX, "no sum overflows");
    }
}
