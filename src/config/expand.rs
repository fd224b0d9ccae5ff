//! `${NAME}`, `${NAME:-default}` and `${file:/path}` in texts.

use std::path::{Path, PathBuf};

use crate::text::Problem;

/// Where references lead.
pub(super) struct Expander<'a> {
    /// The environment.
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    /// Relative files are beside the configuration.
    pub(super) directory: &'a Path,
    /// Every file that was asked for, with what was in it.
    pub(super) files: Vec<(PathBuf, Option<Vec<u8>>)>,
}

impl Expander<'_> {
    /// Puts in what the references of a text stand for. `$${` is a literal `${`; any other `$` is a dollar.
    pub(super) fn expand(&mut self, text: &str) -> Result<String, Problem> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if let Some(before) = rest[..at].strip_suffix('$') {
                expanded.push_str(before);
                expanded.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            expanded.push_str(&rest[..at]);
            let inner = &rest[at + 2..];
            let end = inner.find('}').ok_or(Problem::BadReference)?;
            expanded.push_str(&self.reference(&inner[..end])?);
            rest = &inner[end + 1..];
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn reference(&mut self, inner: &str) -> Result<String, Problem> {
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
        match ((self.variable)(name), default) {
            // As in a shell, an empty variable counts as unset where there is a default.
            (Some(value), None) => Ok(value),
            (Some(value), Some(_)) if !value.is_empty() => Ok(value),
            (_, Some(default)) => Ok(default.to_owned()),
            (None, None) => Err(Problem::UnsetVariable(name.to_owned())),
        }
    }

    fn file(&mut self, path: &str) -> Result<String, Problem> {
        let path = self.directory.join(path);
        let read = std::fs::read(&path);
        self.files.push((path.clone(), read.as_ref().ok().cloned()));
        let unreadable = |why: String| Problem::UnreadableFile { file: path.display().to_string(), why };
        let bytes = read.map_err(|error| unreadable(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| unreadable("not UTF-8".to_owned()))?;
        // Files of secrets commonly end in a line end that is not meant.
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }
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
