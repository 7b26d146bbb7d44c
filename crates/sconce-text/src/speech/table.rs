//! The formats themselves. Each says what its marks are and how a call is written between them.

use super::elements::{Elements, Kinds, Tag};
use super::format::{Body, CallIds, Form, Named, Section, Spacing, SpeechFormat};

/// What most models write around their thoughts.
const THOUGHTS: &[(&str, &str)] = &[("<think>", "</think>")];

/// What the formats have in common, for those that say nothing else.
const PLAIN: SpeechFormat = SpeechFormat {
    name: "",
    seen_in_template: &[],
    thoughts: THOUGHTS,
    calls_end_thoughts: false,
    openings: &[],
    bare: None,
    section: Section::None,
    body: Body::Object,
    closings: &[],
    hushed: &[],
    spacing: Spacing::OfTheMarks,
    form: Form {
        opening: "",
        before: "",
        after: "",
        between: "\n",
        closing: "",
        calls_max: 16,
    },
    ids: CallIds::Prefixed,
};

/// An object between two tags.
const TAGGED: SpeechFormat = SpeechFormat {
    name: "tagged",
    seen_in_template: &["<tool_call>", "\"name\""],
    openings: &["<tool_call>"],
    closings: &["</tool_call>"],
    form: Form {
        before: "<tool_call>\n{\"name\": \"NAME\", \"arguments\": ",
        after: "}\n</tool_call>",
        ..PLAIN.form
    },
    ..PLAIN
};

/// A list of objects behind a mark; newer models of the same makers write [`ARGS`] behind it.
const LISTED: SpeechFormat = SpeechFormat {
    name: "listed",
    seen_in_template: &["[TOOL_CALLS]["],
    thoughts: &[("[THINK]", "[/THINK]"), ("<think>", "</think>")],
    openings: &["[TOOL_CALLS]"],
    section: Section::List,
    body: Body::Named(Named {
        before: "",
        end: "[ARGS]",
        aside: Some("[CALL_ID]"),
        is_numbered: false,
    }),
    form: Form {
        opening: "[TOOL_CALLS][",
        before: "{\"name\": \"NAME\", \"arguments\": ",
        after: "}",
        between: ", ",
        closing: "]",
        ..PLAIN.form
    },
    ids: CallIds::NineLetters,
    ..PLAIN
};

/// A name and its arguments, each behind a mark.
const ARGS: SpeechFormat = SpeechFormat {
    name: "named",
    seen_in_template: &["[TOOL_CALLS]", "[ARGS]"],
    form: Form {
        before: "[TOOL_CALLS]NAME[ARGS]",
        between: "",
        ..PLAIN.form
    },
    ..LISTED
};

/// An object where the answer begins, with no mark, or behind one.
const BARE: SpeechFormat = SpeechFormat {
    name: "bare",
    seen_in_template: &["<|start_header_id|>", "\"parameters\""],
    openings: &["<|python_tag|>"],
    bare: Some('{'),
    closings: &[";"],
    form: Form {
        before: "{\"name\": \"NAME\", \"parameters\": ",
        after: "}",
        between: "; ",
        ..PLAIN.form
    },
    ..PLAIN
};

/// A list of calls as a programming language has them.
const EXPRESSIONS: SpeechFormat = SpeechFormat {
    name: "expressions",
    seen_in_template: &["<|header_start|>", "<|python_start|>"],
    openings: &["<|python_start|>"],
    bare: Some('['),
    body: Body::Expressions,
    closings: &["<|python_end|>"],
    form: Form {
        before: "<|python_start|>{\"name\": \"NAME\", \"parameters\": ",
        after: "}<|python_end|>",
        ..PLAIN.form
    },
    ..PLAIN
};

const SECTION: Section = Section::Marked {
    begin: "<｜tool▁call▁begin｜>",
    ends: &["<｜tool▁calls▁end｜>"],
};

/// A section of calls with the arguments in a block of code.
const FENCED: SpeechFormat = SpeechFormat {
    name: "fenced",
    seen_in_template: &["<｜tool▁calls▁begin｜>", "```json"],
    openings: &["<｜tool▁calls▁begin｜>"],
    section: SECTION,
    body: Body::Named(Named {
        before: "<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
        end: "```json",
        aside: None,
        is_numbered: false,
    }),
    closings: &["```", "<｜tool▁call▁end｜>"],
    form: Form {
        opening: "<｜tool▁calls▁begin｜>",
        before: "<｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME\n```json\n",
        after: "\n```<｜tool▁call▁end｜>",
        closing: "<｜tool▁calls▁end｜>",
        ..PLAIN.form
    },
    ..PLAIN
};

/// A section of calls, name and arguments with a mark between them.
const SEPARATED: SpeechFormat = SpeechFormat {
    name: "separated",
    seen_in_template: &["<｜tool▁calls▁begin｜>"],
    openings: &["<｜tool▁calls▁begin｜>"],
    section: SECTION,
    body: Body::Named(Named {
        before: "<｜tool▁call▁begin｜>",
        end: "<｜tool▁sep｜>",
        aside: None,
        is_numbered: false,
    }),
    closings: &["<｜tool▁call▁end｜>"],
    form: Form {
        opening: "<｜tool▁calls▁begin｜>",
        before: "<｜tool▁call▁begin｜>NAME<｜tool▁sep｜>",
        after: "<｜tool▁call▁end｜>",
        between: "",
        closing: "<｜tool▁calls▁end｜>",
        ..PLAIN.form
    },
    ..PLAIN
};

/// A section of calls whose names are numbered.
const NUMBERED: SpeechFormat = SpeechFormat {
    name: "numbered",
    seen_in_template: &["<|tool_calls_section_begin|>"],
    openings: &["<|tool_calls_section_begin|>"],
    section: Section::Marked {
        begin: "<|tool_call_begin|>",
        ends: &["<|tool_calls_section_end|>"],
    },
    body: Body::Named(Named {
        before: "<|tool_call_begin|>",
        end: "<|tool_call_argument_begin|>",
        aside: None,
        is_numbered: true,
    }),
    closings: &["<|tool_call_end|>"],
    spacing: Spacing::OfTheText,
    form: Form {
        opening: "<|tool_calls_section_begin|>",
        before: "<|tool_call_begin|>functions.NAME:0<|tool_call_argument_begin|>",
        after: "<|tool_call_end|>",
        between: "",
        closing: "<|tool_calls_section_end|>",
        ..PLAIN.form
    },
    ..PLAIN
};

/// Elements, each value on lines of its own.
const ELEMENTS: SpeechFormat = SpeechFormat {
    name: "elements",
    seen_in_template: &["<function=", "<parameter="],
    calls_end_thoughts: true,
    openings: &["<tool_call>", "<function="],
    body: Body::Elements(Elements {
        head: Tag {
            open: "<function=",
            name_end: ">",
            end: "",
        },
        parameter: Tag {
            open: "<parameter=",
            name_end: ">",
            end: "",
        },
        close: "</parameter>",
        end: "</function>",
        has_lines: true,
        kinds: Kinds::OfTheSchema,
    }),
    ..TAGGED
};

/// Keys and values by turns.
const KEYED: SpeechFormat = SpeechFormat {
    name: "keyed",
    seen_in_template: &["<arg_key>", "<arg_value>"],
    body: Body::Elements(Elements {
        head: Tag {
            open: "",
            name_end: "",
            end: "",
        },
        parameter: Tag {
            open: "<arg_key>",
            name_end: "</arg_key>",
            end: "<arg_value>",
        },
        close: "</arg_value>",
        end: "</tool_call>",
        has_lines: false,
        kinds: Kinds::OfTheSchema,
    }),
    ..TAGGED
};

/// Elements that say of each value whether it is text.
const INVOKED: SpeechFormat = SpeechFormat {
    name: "invoked",
    seen_in_template: &["｜DSML｜", "invoke name="],
    openings: &["<｜DSML｜function_calls>", "<｜DSML｜tool_calls>"],
    section: Section::Marked {
        begin: "<｜DSML｜invoke name=\"",
        ends: &["</｜DSML｜function_calls>", "</｜DSML｜tool_calls>"],
    },
    body: Body::Elements(Elements {
        head: Tag {
            open: "<｜DSML｜invoke name=\"",
            name_end: "\"",
            end: ">",
        },
        parameter: Tag {
            open: "<｜DSML｜parameter name=\"",
            name_end: "\"",
            end: ">",
        },
        close: "</｜DSML｜parameter>",
        end: "</｜DSML｜invoke>",
        has_lines: false,
        kinds: Kinds::Told("string=\"true\""),
    }),
    form: Form {
        opening: "<｜DSML｜tool_calls>\n",
        before: "{\"name\": \"NAME\", \"arguments\": ",
        after: "}",
        closing: "\n</｜DSML｜tool_calls>",
        ..PLAIN.form
    },
    ..PLAIN
};

/// The same with a space in each mark.
const SPACED: SpeechFormat = SpeechFormat {
    name: "invoked-spaced",
    seen_in_template: &["｜DSML｜ invoke"],
    openings: &["<｜DSML｜ calls>"],
    section: Section::Marked {
        begin: "<｜DSML｜ invoke name=\"",
        ends: &["</｜DSML｜ calls>"],
    },
    body: Body::Elements(Elements {
        head: Tag {
            open: "<｜DSML｜ invoke name=\"",
            name_end: "\"",
            end: ">",
        },
        parameter: Tag {
            open: "<｜DSML｜ parameter name=\"",
            name_end: "\"",
            end: ">",
        },
        close: "</｜DSML｜ parameter>",
        end: "</｜DSML｜ invoke>",
        has_lines: false,
        kinds: Kinds::Told("string=\"true\""),
    }),
    form: Form {
        opening: "<｜DSML｜ calls>\n",
        before: "{\"name\": \"NAME\", \"arguments\": ",
        after: "}",
        closing: "\n</｜DSML｜ calls>",
        ..PLAIN.form
    },
    ..PLAIN
};

/// Elements whose tags are made of control tokens; what is said stands in one too.
const OPENED: SpeechFormat = SpeechFormat {
    name: "opened",
    seen_in_template: &["<|open|>", "<|close|>", "<|sep|>"],
    thoughts: &[("<|open|>think<|sep|>", "<|close|>think<|sep|>")],
    openings: &["<|open|>tools<|sep|>"],
    section: Section::Marked {
        begin: "<|open|>call tool=\"",
        ends: &["<|close|>tools<|sep|>"],
    },
    body: Body::Elements(Elements {
        head: Tag {
            open: "<|open|>call tool=\"",
            name_end: "\"",
            end: "<|sep|>",
        },
        parameter: Tag {
            open: "<|open|>argument key=\"",
            name_end: "\"",
            end: "<|sep|>",
        },
        close: "<|close|>argument<|sep|>",
        end: "<|close|>call<|sep|>",
        has_lines: false,
        kinds: Kinds::Told("type=\"string\""),
    }),
    hushed: &[
        "<|open|>response<|sep|>",
        "<|close|>response<|sep|>",
        "<|close|>message<|sep|>",
    ],
    form: Form {
        opening: "<|open|>tools<|sep|>",
        before: "{\"name\": \"NAME\", \"arguments\": ",
        after: "}",
        closing: "<|close|>tools<|sep|>",
        ..PLAIN.form
    },
    ..PLAIN
};

/// An object in a notation with its own quotes, behind the function's name.
const NOTATION: SpeechFormat = SpeechFormat {
    name: "notation",
    seen_in_template: &["<|tool_call>", "call:"],
    thoughts: &[("<|channel>thought", "<channel|>")],
    openings: &["<|tool_call>"],
    body: Body::Notation { before: "call:" },
    closings: &["<tool_call|>"],
    spacing: Spacing::OfTheText,
    form: Form {
        before: "<|tool_call>{\"name\": \"NAME\", \"arguments\": ",
        after: "}<tool_call|>",
        between: "",
        ..PLAIN.form
    },
    ..PLAIN
};

/// Messages with headers: each says for whom it is and on which channel.
const CHANNELS: SpeechFormat = SpeechFormat {
    name: "channels",
    seen_in_template: &["<|channel|>", "<|message|>", "<|start|>"],
    thoughts: &[("<|channel|>analysis<|message|>", "<|end|>")],
    body: Body::Channels,
    closings: &["<|call|>", "<|end|>", "<|return|>"],
    spacing: Spacing::OfTheText,
    form: Form {
        before: "<|channel|>commentary to=functions.NAME <|constrain|>json<|message|>",
        calls_max: 1,
        ..PLAIN.form
    },
    ..PLAIN
};

/// All formats, those that are easily taken for another before that one.
pub(super) const FORMATS: &[SpeechFormat] = &[
    ELEMENTS,
    KEYED,
    SPACED,
    INVOKED,
    OPENED,
    NOTATION,
    CHANNELS,
    TAGGED,
    ARGS,
    LISTED,
    FENCED,
    SEPARATED,
    NUMBERED,
    BARE,
    EXPRESSIONS,
];

/// The format that is spoken with models whose template knows no functions.
pub(super) const TAUGHT: &SpeechFormat = &TAGGED;
