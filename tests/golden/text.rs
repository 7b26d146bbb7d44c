//! Token ids and rendered chats are llama.cpp's, to the last one.

use sconce_domain::{Message, Role};
use sconce_tests::Chat;
use sconce_text::{CivilTime, RenderOptions, Specials};

use crate::session::{QWEN, SMOLLM2, Session, token_ids};

#[test]
fn texts_become_the_tokens_that_llama_cpp_makes_of_them() {
    for session in [&*SMOLLM2, &*QWEN] {
        assert!(
            session.golden.tokenizations.len() > 10,
            "too little was compared"
        );
        for case in &session.golden.tokenizations {
            let encode = |specials| session.tokenizer.encode(&case.text, specials).unwrap();
            assert_eq!(
                encode(Specials::Plain),
                token_ids(&case.plain),
                "{:?}",
                case.text
            );
            assert_eq!(
                encode(Specials::Parsed),
                token_ids(&case.special),
                "{:?}",
                case.text
            );
        }
        for completion in &session.golden.completions {
            let found = session
                .tokenizer
                .encode_prompt(&completion.prompt, Specials::Parsed);
            assert_eq!(found.unwrap(), token_ids(&completion.prompt_tokens));
        }
    }
}

#[test]
fn chats_become_the_prompts_that_llama_cpp_makes_of_them() {
    for session in [&*SMOLLM2, &*QWEN] {
        assert!(session.golden.chats.len() > 2, "too little was compared");
        for chat in &session.golden.chats {
            check_chat(session, chat);
        }
    }
}

fn check_chat(session: &Session, chat: &Chat) {
    let messages: Vec<Message> = chat
        .messages
        .iter()
        .map(|turn| Message::text(role(&turn.0), turn.1.clone()))
        .collect();
    let options = RenderOptions {
        adds_generation_prompt: true,
        now: CivilTime::from_unix_seconds(1_700_000_000),
    };
    let rendered = session.template.render(&messages, &[], &options).unwrap();
    assert_eq!(rendered, chat.rendered);
    let tokens = session
        .tokenizer
        .encode_prompt(&rendered, Specials::Parsed)
        .unwrap();
    assert_eq!(tokens, token_ids(&chat.rendered_tokens));
}

fn role(name: &str) -> Role {
    [Role::System, Role::User, Role::Assistant]
        .into_iter()
        .find(|role| role.as_str() == name)
        .unwrap_or_else(|| panic!("the golden file has role {name}"))
}
