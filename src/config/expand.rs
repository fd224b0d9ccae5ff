//! `${NAME}`, `${NAME:-default}` and `${file:/path}` in texts.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::print::{Print, read};
use crate::text::Problem;

/// Where references lead.
pub(super) struct Expander<'a> {
    /// The environment.
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    /// Relative files are beside the configuration.
    pub(super) directory: &'a Path,
    /// Every file that was asked for, and by what its content is known again.
    pub(super) files: Vec<(PathBuf, Option<Print>)>,
}

impl Expander<'_> {
    /// Puts in what the references of a text stand for. `$${` is a literal `${`; any other `$` is a dollar.
    pub(super) fn expand(&mut self, text: &str) -> Result<String, Problem> {
        let mut expanded = Zeroizing::new(String::with_capacity(text.len()));
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if let Some(before) = rest[..at].strip_suffix('$') {
                push(&mut expanded, before);
                push(&mut expanded, "${");
                rest = &rest[at + 2..];
                continue;
            }
            push(&mut expanded, &rest[..at]);
            let inner = &rest[at + 2..];
            let end = inner.find('}').ok_or(Problem::BadReference)?;
            push(&mut expanded, &self.reference(&inner[..end])?);
            rest = &inner[end + 1..];
        }
        push(&mut expanded, rest);
        Ok(std::mem::take(&mut *expanded))
    }

    fn reference(&mut self, inner: &str) -> Result<Zeroizing<String>, Problem> {
        if let Some(path) = inner.strip_prefix("file:") {
            return self.file(path);
        }
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
        if !is_name {
            return Err(Problem::BadReference);
        }
        match ((self.variable)(name).map(Zeroizing::new), default) {
            // As in a shell, an empty variable counts as unset where there is a default.
            (Some(value), None) => Ok(value),
            (Some(value), Some(_)) if !value.is_empty() => Ok(value),
            (_, Some(default)) => Ok(default.to_owned().into()),
            (None, None) => Err(Problem::UnsetVariable(name.to_owned())),
        }
    }

    fn file(&mut self, path: &str) -> Result<Zeroizing<String>, Problem> {
        let path = self.directory.join(path);
        let read = read(&path);
        self.files.push((path.clone(), read.as_ref().ok().map(|content| Print::of(content))));
        let unreadable = |why: String| Problem::UnreadableFile { file: path.display().to_string(), why };
        let bytes = read.map_err(|error| unreadable(error.to_string()))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| unreadable("not UTF-8".to_owned()))?;
        // Files of secrets commonly end in a line end that is not meant.
        Ok(text.trim_end_matches(['\r', '\n']).to_owned().into())
    }
}

/// Adds to a text without leaving parts of it behind where it was too small.
fn push(text: &mut Zeroizing<String>, more: &str) {
    if text.capacity() - text.len() < more.len() {
        let mut larger = Zeroizing::new(String::with_capacity(2 * text.len() + more.len()));
        larger.push_str(text);
        *text = larger;
    }
    text.push_str(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Result<String, Problem> {
        let variable = |name: &str| match name {
            "KEY" => Some("sk-1".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        Expander { variable: &variable, directory: Path::new("/nowhere"), files: Vec::new() }.expand(text)
    }

    #[test]
    fn variables_and_defaults() {
        assert_eq!(expand("Bearer ${KEY}!").as_deref(), Ok("Bearer sk-1!"));
        assert_eq!(expand("${NO:-a:-b}${KEY:-x}${EMPTY:-e}${EMPTY}").as_deref(), Ok("a:-bsk-1e"));
        assert_eq!(expand("${NO}"), Err(Problem::UnsetVariable("NO".into())));
    }

    #[test]
    fn any_other_dollar_is_a_dollar() {
        for text in ["", "$", "$$", "$KEY", "a$b$", "{}", "$ {KEY}", "¥${KEY"] {
            if text.contains("${") {
                assert!(matches!(expand(text), Err(Problem::BadReference)), "{text}");
            } else {
                assert_eq!(expand(text).as_deref(), Ok(text));
            }
        }
        assert_eq!(expand("$${KEY} $$${KEY}").as_deref(), Ok("${KEY} $${KEY}"));
    }

    #[test]
    fn other_forms_are_refused() {
        for text in ["${}", "${a b}", "${1A}", "${KEY:+x}", "${env:KEY}", "${{KEY}}"] {
            assert!(matches!(expand(text), Err(Problem::BadReference)), "{text}");
        }
    }

    #[test]
    fn files_are_read_beside_the_configuration() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("key"), "sk-2\r\n").expect("writes");
        let mut expander = Expander { variable: &|_| None, directory: directory.path(), files: Vec::new() };
        assert_eq!(expander.expand("${file:key}").as_deref(), Ok("sk-2"));
        assert!(matches!(expander.expand("${file:/nowhere/x}"), Err(Problem::UnreadableFile { .. })));
        assert_eq!(expander.files.len(), 2);
    }
}
