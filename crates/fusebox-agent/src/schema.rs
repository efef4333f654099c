//! JSON Schema checks of inputs and replies.

use serde_json::Value;

/// A compiled JSON Schema.
///
/// Without the feature `schema` nothing compiles: an agent that asks for a check never runs
/// unchecked.
///
/// References to other documents are not followed, neither over the network nor to files.
#[derive(Debug, Clone)]
pub struct Schema {
    #[cfg(feature = "schema")]
    validator: std::sync::Arc<jsonschema::Validator>,
    #[cfg(not(feature = "schema"))]
    never: std::convert::Infallible,
}

/// Why a schema cannot be used. Fix the schema; no call can succeed before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be used as a JSON Schema: {reason}")]
pub struct SchemaError {
    /// Which schema: `output schema of agent "data"`.
    pub what: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Schema {
    /// Compiles `schema`; `what` names it in the error.
    ///
    /// # Errors
    /// If it is not a JSON Schema, refers to another document, or the crate was built without
    /// the feature `schema`.
    pub fn compile(what: &str, schema: &Value) -> Result<Self, SchemaError> {
        compile(schema).map_err(|reason| SchemaError {
            what: what.to_owned(),
            reason,
        })
    }

    /// Checks a value.
    ///
    /// # Errors
    /// The first three violations as text, each with its place as a JSON Pointer.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        #[cfg(feature = "schema")]
        return check(&self.validator, value);
        #[cfg(not(feature = "schema"))]
        {
            let _ = value;
            match self.never {}
        }
    }
}

#[cfg(feature = "schema")]
fn compile(schema: &Value) -> Result<Schema, String> {
    match jsonschema::validator_for(schema) {
        Ok(validator) => Ok(Schema {
            validator: std::sync::Arc::new(validator),
        }),
        Err(error) => Err(shorten(&error.to_string())),
    }
}

#[cfg(not(feature = "schema"))]
fn compile(_: &Value) -> Result<Schema, String> {
    Err("fusebox-agent was built without its feature `schema`, enable it".to_owned())
}

/// Violations named in one message; a reply that is all wrong would otherwise list thousands.
#[cfg(feature = "schema")]
const SHOWN: usize = 3;

#[cfg(feature = "schema")]
fn check(validator: &jsonschema::Validator, value: &Value) -> Result<(), String> {
    let mut errors = validator.iter_errors(value);
    let mut shown: Vec<String> = errors
        .by_ref()
        .take(SHOWN)
        .map(|error| match error.instance_path().as_str() {
            "" => shorten(&error.to_string()),
            place => format!("at {place}: {}", shorten(&error.to_string())),
        })
        .collect();
    if shown.is_empty() {
        return Ok(());
    }
    if errors.next().is_some() {
        shown.push("...".to_owned());
    }
    Err(shown.join("; "))
}

/// A violation quotes the value that offended, however large it is.
#[cfg(feature = "schema")]
fn shorten(text: &str) -> String {
    const LIMIT: usize = 160;
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(all(test, feature = "schema"))]
mod tests {
    use super::*;
    use serde_json::json;

    fn compiled(schema: Value) -> Schema {
        Schema::compile("the schema", &schema).expect("a valid schema")
    }

    #[test]
    fn a_violation_names_its_place() {
        let schema = compiled(json!({"properties": {"score": {"type": "number"}}}));
        assert_eq!(schema.check(&json!({"score": 1})), Ok(()));
        let violation = schema.check(&json!({"score": "high"}));
        assert_eq!(
            violation,
            Err(r#"at /score: "high" is not of type "number""#.to_owned())
        );
    }

    #[test]
    fn a_reply_that_is_all_wrong_gives_a_short_message() {
        let schema = compiled(json!({"items": {"type": "number"}}));
        let wrong = vec!["x".repeat(1000); 1000];
        let message = schema.check(&json!(wrong)).expect_err("strings");
        assert!(message.len() < 700, "{} bytes", message.len());
        assert!(message.ends_with("; ..."), "{message}");
    }

    #[test]
    fn something_that_is_no_schema_is_refused_with_its_name() {
        let error = Schema::compile("output schema", &json!({"type": "nonsense"}));
        let message = error.expect_err("no such type").to_string();
        assert!(
            message.starts_with("output schema cannot be used"),
            "{message}"
        );
    }

    #[test]
    fn other_documents_are_not_fetched() {
        for elsewhere in ["http://127.0.0.1/schema.json", "file:///etc/hostname"] {
            assert!(Schema::compile("schema", &json!({"$ref": elsewhere})).is_err());
        }
    }
}
