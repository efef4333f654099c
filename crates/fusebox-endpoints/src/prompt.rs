//! Text with places for parts of the input.

use serde_json::Value;

/// Text with placeholders such as `{/upstream/fetch/rows}`: a JSON Pointer into the input, which
/// begins with a slash. All other braces are text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prompt(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(String),
}

impl Prompt {
    pub(crate) fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("{/") {
            let Some(length) = rest[start..].find('}') else {
                break;
            };
            let (before, place) = (&rest[..start], &rest[start + 1..start + length]);
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Place(place.to_owned()));
            rest = &rest[start + length + 1..];
        }
        parts.push(Part::Text(rest.to_owned()));
        Self(parts)
    }

    /// The text with every place filled: text as it is, other JSON as JSON.
    ///
    /// # Errors
    /// The first place at which the input has nothing.
    pub(crate) fn fill(&self, input: &Value) -> Result<String, String> {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Place(place) => {
                    let value = input.pointer(place).ok_or_else(|| place.clone())?;
                    filled.push_str(&as_text(value));
                }
            }
        }
        Ok(filled)
    }
}

/// Text as it is, other JSON as JSON.
pub(crate) fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places_are_filled_once_and_other_braces_are_text() {
        let prompt = Prompt::new("Sum {/rows} for {/who} as {\"total\": 1}, {x}{/");
        let input = json!({"rows": [1, 2], "who": "{/rows}"});
        assert_eq!(
            prompt.fill(&input).as_deref(),
            Ok("Sum [1,2] for {/rows} as {\"total\": 1}, {x}{/")
        );
    }

    #[test]
    fn a_place_with_nothing_at_it_is_named() {
        let prompt = Prompt::new("{/upstream/fetch}");
        assert_eq!(prompt.fill(&json!({})), Err("/upstream/fetch".to_owned()));
    }
}
