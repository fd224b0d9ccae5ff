//! Where each value of a JSON text lies.

use std::fmt;

use super::string_end;
use crate::secret;

/// One step from a value to one inside it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// A member of an object.
    Key(String),
    /// An element of an array.
    Index(usize),
}

/// The way from the whole document to one value, as a person writes it: `routes.openai.custom_headers`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Path(Vec<Step>);

impl Path {
    /// The way to a member.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    /// The way to an element.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    /// Whether this is the whole document.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The steps from the root.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if is_plain(key) => write!(f, "{}{key}", if place > 0 { "." } else { "" })?,
                // A whole header may have been written where its name should stand.
                Step::Key(key) => write!(f, "[{:?}]", secret::mask_after_name(key))?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '$'))
}

/// Where the values of a valid JSON text lie.
#[derive(Debug)]
pub struct Map {
    root: Node,
    repeated: Vec<(Path, usize)>,
}

#[derive(Debug, Default)]
struct Node {
    start: usize,
    end: usize,
    /// Where the key of a member begins.
    key_start: Option<usize>,
    children: Vec<(Step, Node)>,
}

impl Map {
    /// Reads a text that a JSON parser has accepted.
    #[must_use]
    pub fn of(json: &str) -> Self {
        let mut reader = Reader { bytes: json.as_bytes(), at: 0, repeated: Vec::new() };
        let root = reader.value(&Path::default());
        Self { root, repeated: reader.repeated }
    }

    /// The offset of a value, or of the nearest one around it that exists.
    #[must_use]
    pub fn value(&self, path: &Path) -> usize {
        self.nearest(path).0.start
    }

    /// The offset of the key of a member, or of its value where it has none.
    #[must_use]
    pub fn key(&self, path: &Path) -> usize {
        let (node, _) = self.nearest(path);
        node.key_start.unwrap_or(node.start)
    }

    /// From where to where a value goes, if it exists.
    #[must_use]
    pub fn span(&self, path: &Path) -> Option<std::ops::Range<usize>> {
        let (node, found) = self.nearest(path);
        found.then_some(node.start..node.end)
    }

    /// Members whose key stood before in the same object, each with its offset. The last one counts.
    #[must_use]
    pub fn repeated(&self) -> &[(Path, usize)] {
        &self.repeated
    }

    fn nearest(&self, path: &Path) -> (&Node, bool) {
        let mut node = &self.root;
        for step in &path.0 {
            match node.children.iter().rev().find(|(name, _)| name == step) {
                Some((_, child)) => node = child,
                None => return (node, false),
            }
        }
        (node, true)
    }
}

/// Walks over JSON that is known to be valid. Its depth is bounded by that of the parser that found it so.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    repeated: Vec<(Path, usize)>,
}

impl Reader<'_> {
    fn value(&mut self, path: &Path) -> Node {
        self.skip_space();
        let start = self.at;
        let mut children = Vec::new();
        match self.peek() {
            b'{' => self.members(path, &mut children),
            b'[' => self.elements(path, &mut children),
            b'"' => self.at = string_end(self.bytes, self.at),
            _ => {
                while !matches!(self.peek(), b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n' | 0) {
                    self.at += 1;
                }
            }
        }
        Node { start, end: self.at, key_start: None, children }
    }

    fn members(&mut self, path: &Path, children: &mut Vec<(Step, Node)>) {
        while self.next_item(b'}') {
            let key_start = self.at;
            self.at = string_end(self.bytes, self.at);
            let key: String = serde_json::from_slice(&self.bytes[key_start..self.at]).unwrap_or_default();
            self.skip_space();
            self.at += 1;
            let step = Step::Key(key);
            let inner = path.with(step.clone());
            if children.iter().any(|(name, _)| *name == step) {
                self.repeated.push((inner.clone(), key_start));
            }
            let mut node = self.value(&inner);
            node.key_start = Some(key_start);
            children.push((step, node));
        }
    }

    fn elements(&mut self, path: &Path, children: &mut Vec<(Step, Node)>) {
        while self.next_item(b']') {
            let step = Step::Index(children.len());
            let node = self.value(&path.with(step.clone()));
            children.push((step, node));
        }
    }

    /// Moves to the next item of an object or array, or behind its end.
    fn next_item(&mut self, close: u8) -> bool {
        if matches!(self.peek(), b'{' | b'[') {
            self.at += 1;
        }
        self.skip_space();
        if self.peek() == b',' {
            self.at += 1;
            self.skip_space();
        }
        let is_over = self.peek() == close || self.peek() == 0;
        if is_over {
            self.at += 1;
        }
        !is_over
    }

    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or_default()
    }

    fn skip_space(&mut self) {
        while self.peek().is_ascii_whitespace() {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::to_json;
    use super::*;

    #[test]
    fn the_map_knows_where_values_and_keys_lie() {
        let text = r#"{"a": {"b c": [10, {"d": true}]}, "e": "x"}"#;
        let map = Map::of(text);
        let d = Path::default().key("a").key("b c").index(1).key("d");
        assert_eq!(&text[map.span(&d).expect("there")], "true");
        assert_eq!(map.value(&d), text.find("true").expect("there"));
        assert_eq!(map.key(&d), text.find("\"d\"").expect("there"));
        assert_eq!(d.to_string(), r#"a["b c"][1].d"#);
        let missing = Path::default().key("a").key("x").key("y");
        assert_eq!((map.value(&missing), map.span(&missing)), (6, None));
    }

    #[test]
    fn repeated_keys_are_seen() {
        let map = Map::of(r#"{"a": 1, "b": {"c": 1, "c": 2}, "a": 3}"#);
        let paths: Vec<_> = map.repeated().iter().map(|(path, _)| path.to_string()).collect();
        assert_eq!(paths, ["b.c", "a"]);
        assert_eq!(map.value(&Path::default().key("a")), 37);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((".{0,5}", inner), 0..5)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn plain_json_is_left_alone_and_mapped(value in any_json()) {
            let text = serde_json::to_string_pretty(&value).expect("serializable");
            prop_assert_eq!(to_json(&text).expect("no comments"), &text[..]);
            let map = Map::of(&text);
            prop_assert_eq!(map.span(&Path::default()), Some(0..text.len()));
            if let Value::Object(members) = &value {
                for (key, member) in members {
                    let span = map.span(&Path::default().key(key)).expect("there");
                    prop_assert_eq!(&serde_json::from_str::<Value>(&text[span]).expect("a value"), member);
                }
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{},:\"/*a1 \\\\\n\u{e9}]{0,40}") {
            if let Ok(json) = to_json(&text)
                && serde_json::from_str::<Value>(&json).is_ok() {
                    let _ = Map::of(&json);
                }
        }
    }
}
