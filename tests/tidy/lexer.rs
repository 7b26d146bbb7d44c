//! Tells code, comments and literals of a Rust file apart, keeping every line where it is.

/// A file seen in three ways, each with all the file's lines; what a view leaves out is blank.
#[derive(Debug, Clone)]
pub(crate) struct Views {
    /// Neither comments nor literals.
    pub(crate) code: String,
    /// What the compiler sees: code and literals.
    pub(crate) compiled: String,
    /// Comments alone.
    pub(crate) comments: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// Splits `text`. Not a whole lexer: it knows what is needed to find where comments and literals
/// end, nested block comments, raw strings and lifetimes included.
pub(crate) fn split(text: &str) -> Views {
    let characters: Vec<char> = text.chars().collect();
    let (mut code, mut compiled, mut comments) = (String::new(), String::new(), String::new());
    let mut start = 0;
    while start < characters.len() {
        let (kind, end) = piece(&characters, start);
        for &character in &characters[start..end.min(characters.len())] {
            let blank = if character == '\n' { '\n' } else { ' ' };
            code.push(if kind == Kind::Code { character } else { blank });
            compiled.push(if kind == Kind::Comment {
                blank
            } else {
                character
            });
            comments.push(if kind == Kind::Comment {
                character
            } else {
                blank
            });
        }
        start = end;
    }
    Views {
        code,
        compiled,
        comments,
    }
}

/// The kind of what begins at `start`, and where it ends.
fn piece(characters: &[char], start: usize) -> (Kind, usize) {
    let rest = &characters[start..];
    let continues_a_word = start > 0 && is_word(characters[start - 1]);
    match rest {
        ['/', '/', ..] => {
            let length = rest.iter().position(|it| *it == '\n').unwrap_or(rest.len());
            (Kind::Comment, start + length)
        }
        ['/', '*', ..] => (Kind::Comment, start + block_comment_length(rest)),
        ['"', ..] => (Kind::Literal, start + quoted_length(rest, '"')),
        ['\'', '\\', ..] => (Kind::Literal, start + quoted_length(rest, '\'')),
        ['\'', _, '\'', ..] => (Kind::Literal, start + 3),
        _ if continues_a_word => (Kind::Code, start + 1),
        _ => match raw_string_length(rest) {
            Some(length) => (Kind::Literal, start + length),
            None => (Kind::Code, start + 1),
        },
    }
}

fn block_comment_length(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted_length(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// The length of the raw string that `rest` begins with, if it does.
fn raw_string_length(rest: &[char]) -> Option<usize> {
    let prefix = match rest {
        ['b' | 'c', 'r', ..] => 2,
        ['r', ..] => 1,
        _ => return None,
    };
    let hashes = rest[prefix..].iter().take_while(|it| **it == '#').count();
    let body = prefix + hashes + 1;
    if rest.get(body - 1) != Some(&'"') {
        return None;
    }
    let closing: Vec<char> = std::iter::once('"')
        .chain(std::iter::repeat_n('#', hashes))
        .collect();
    let length = rest[body..]
        .windows(closing.len())
        .position(|it| it == closing.as_slice());
    Some(length.map_or(rest.len(), |it| body + it + closing.len()))
}

/// Whether `character` may be part of an identifier.
pub(crate) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Byte positions in `line` where `word` stands as a whole word.
pub(crate) fn word_positions<'a>(line: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    line.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| {
            let before = line[..*at].chars().next_back();
            let after = line[at + word.len()..].chars().next();
            !before.is_some_and(is_word) && !after.is_some_and(is_word)
        })
}

/// The lines of the `#[cfg(test)] mod tests` at the end of a file, as a range of indices; empty if
/// there is none. It must begin and end in the first column, as rustfmt leaves it.
pub(crate) fn test_module(text: &str) -> std::ops::Range<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let starts_here = |at: &usize| {
        lines[*at] == "#[cfg(test)]"
            && lines[at + 1..]
                .iter()
                .find(|it| !it.starts_with("#["))
                .is_some_and(|it| it.starts_with("mod tests {"))
    };
    let Some(start) = (0..lines.len()).find(starts_here) else {
        return 0..0;
    };
    let length = lines[start..].iter().position(|it| *it == "}");
    start..length.map_or(lines.len(), |it| start + it + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_not_code() {
        let text =
            "let a = \"unsafe // \\\" x\"; // unsafe\nlet b = r#\"un\"safe\"#; /* a /* b */ c */ d";
        let views = split(text);
        assert!(!views.code.contains("unsafe"));
        assert!(!views.code.contains("safe\""));
        assert!(views.code.ends_with(" d"));
        assert!(views.compiled.contains("\"unsafe // \\\" x\""));
        assert!(!views.compiled.contains("b */"));
        assert!(views.comments.contains("// unsafe"));
        assert_eq!(views.comments.matches("unsafe").count(), 1);
        assert_eq!(views.code.lines().count(), 2);
    }

    #[test]
    fn lifetimes_and_characters_are_told_apart() {
        let views = split("fn f<'a>(x: &'a str) { ['\"', '\\'', '{'] } unsafe");
        assert!(views.code.contains("<'a>"));
        assert!(views.code.contains("unsafe"));
        assert!(!views.code.contains("'{'"));
    }

    #[test]
    fn raw_identifiers_are_code() {
        assert!(
            split("let r#type = 1; for")
                .code
                .contains("r#type = 1; for")
        );
    }

    #[test]
    fn unfinished_pieces_end_with_the_file() {
        for text in ["\"abc", "/* abc", "r#\"abc", "'\\", "\"a\\"] {
            assert_eq!(split(text).code.trim(), "", "{text}");
        }
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(
            word_positions("unsafe_code unsafe", "unsafe").collect::<Vec<_>>(),
            [12]
        );
    }

    #[test]
    fn the_test_module_is_found() {
        let text = "a\n#[cfg(test)]\n#[expect(x)]\nmod tests {\n    b\n}\nc\n";
        assert_eq!(test_module(text), 1..6);
        assert_eq!(test_module("a\n#[cfg(test)]\nfn f() {}\n"), 0..0);
    }
}
