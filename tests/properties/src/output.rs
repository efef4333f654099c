//! What a program printed: the first byte chooses the format, the others are the output.

use fusebox_endpoints::OutputFormat;

use crate::text;

/// Room for a sentence, the parser's words and what is shown of the output.
const MAX_ERROR: usize = 800;

pub(crate) fn holds(bytes: &[u8]) {
    let Some((choice, printed)) = bytes.split_first() else {
        return;
    };
    let formats = [OutputFormat::Json, OutputFormat::Lines, OutputFormat::Text];
    let format = formats[usize::from(*choice) % formats.len()];
    let value = match format.read(printed.to_vec()) {
        Ok(value) => value,
        Err(error) => {
            let message = error.to_string();
            assert!(message.starts_with("printed "), "{message}");
            assert!(message.len() <= MAX_ERROR, "{}: {message}", message.len());
            assert!(!text::has_control(&message) && !message.contains('\n'));
            return;
        }
    };
    let printed = std::str::from_utf8(printed).expect("every format is UTF-8");
    match format {
        OutputFormat::Text => assert_eq!(value["text"], printed),
        OutputFormat::Lines => {
            let lines = value["lines"].as_array().expect("a list of lines");
            assert!(lines.iter().eq(printed.lines()));
        }
        _ => text::assert_same(&value),
    }
}
