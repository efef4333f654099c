//! Texts of somebody else.

/// A text of somebody else, without what would act on whoever shows it: control characters, and those that turn the
/// direction of writing.
pub(crate) fn plain(text: &str) -> String {
    let acts = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.replace(acts, " ")
}
