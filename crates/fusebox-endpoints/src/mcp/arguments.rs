//! Arguments with places for parts of the input.

use serde_json::Value;

use crate::prompt::Prompt;

/// The arguments that `template` is for this input: text that is one place becomes what the input
/// has there, and a place within other text becomes text.
///
/// # Errors
/// The first place at which the input has nothing.
pub(super) fn fill(template: &Value, input: &Value) -> Result<Value, String> {
    Ok(match template {
        Value::String(text) => match place(text) {
            Some(place) => input
                .pointer(place)
                .cloned()
                .ok_or_else(|| nothing(place))?,
            None => Prompt::new(text)
                .fill(input)
                .map_err(|place| nothing(&place))?
                .into(),
        },
        Value::Array(items) => {
            let items = items.iter().map(|item| fill(item, input));
            items.collect::<Result<_, _>>()?
        }
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields = fields.map(|(name, value)| Ok((name.clone(), fill(value, input)?)));
            Value::Object(fields.collect::<Result<_, String>>()?)
        }
        other => other.clone(),
    })
}

/// The JSON Pointer that a text is, in braces and nothing beside it.
fn place(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('{')?.strip_suffix('}')?;
    (inside.starts_with('/') && !inside.contains('}')).then_some(inside)
}

fn nothing(place: &str) -> String {
    format!("the arguments name `{place}`, and the input has nothing there")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_place_alone_keeps_its_type_and_one_within_text_becomes_text() {
        let template = json!({
            "id": "{/input/id}", "note": "order {/input/id}", "all": ["{/input}", 1], "raw": "{x}",
        });
        let filled = fill(&template, &json!({"input": {"id": 7}}));
        let wanted = json!({
            "id": 7, "note": "order 7", "all": [{"id": 7}, 1], "raw": "{x}",
        });
        assert_eq!(filled, Ok(wanted));
    }

    #[test]
    fn a_place_with_nothing_at_it_is_named() {
        for template in [json!({"a": "{/no}"}), json!(["x {/no}"])] {
            let error = fill(&template, &json!({})).expect_err("there is nothing");
            assert!(error.contains("`/no`"), "{error}");
        }
    }
}
