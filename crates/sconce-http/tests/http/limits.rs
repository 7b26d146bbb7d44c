//! What keys and tenants may take.

use std::sync::Arc;
use std::time::Duration;

use sconce_http::{Access, HttpLimits, SharedKeys};
use sconce_keys::{KeyRing, Secret};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{Reply, Server};
use crate::stage::{Echo, Sizes, Stage};

const COMPLETIONS: &str = "/v1/completions";

/// A server with one key, `web` of the tenant `shop`, and an administrator's.
struct Limited {
    _stage: Stage,
    server: Arc<Server>,
    keys: SharedKeys,
    web: Secret,
    admin: Secret,
}

impl Limited {
    /// `of_key` and `of_tenant` are lines of the key's table and of the tenant's.
    async fn start(step_ms: u64, of_key: &str, of_tenant: &str) -> Self {
        let step = Duration::from_millis(step_ms);
        let sizes = Sizes {
            queue_max: 4000,
            ..Sizes::default()
        };
        let stage = Stage::new(Echo { step }, sizes);
        let (web, admin) = (Secret::new().unwrap(), Secret::new().unwrap());
        let keys = SharedKeys::new(ring((&web, &admin), of_key, of_tenant));
        let access = Access::Keys(keys.clone());
        let server = Server::start_for(&stage.pipeline, HttpLimits::default(), access).await;
        Self {
            _stage: stage,
            server: Arc::new(server),
            keys,
            web,
            admin,
        }
    }

    fn change(&self, of_key: &str, of_tenant: &str) {
        let secrets = (&self.web, &self.admin);
        self.keys.replace(ring(secrets, of_key, of_tenant));
    }

    async fn ask(&self, body: &Value) -> Reply {
        let request = request("POST", COMPLETIONS, &self.web, &body.to_string());
        self.server.bytes(request.as_bytes()).await
    }

    async fn get(&self, path: &str, secret: &Secret) -> Reply {
        let request = request("GET", path, secret, "");
        self.server.bytes(request.as_bytes()).await
    }

    /// What is left of `requests` or `tokens`, as the header of any answer tells it.
    async fn left(&self, what: &str) -> u64 {
        let reply = self.get("/v1/models", &self.web).await;
        let left = reply.header(&format!("x-ratelimit-remaining-{what}"));
        left.unwrap().parse().unwrap()
    }

    /// A request whose answer has begun to come.
    async fn begun(&self, body: &Value) -> TcpStream {
        let mut stream = TcpStream::connect(self.server.address).await.unwrap();
        let request = request("POST", COMPLETIONS, &self.web, &body.to_string());
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        stream
    }
}

fn ring((web, admin): (&Secret, &Secret), of_key: &str, of_tenant: &str) -> KeyRing {
    let text = format!(
        "[[key]]\nname = \"web\"\ntenant = \"shop\"\nsha256 = \"{}\"\n{of_key}\n\
         [[key]]\nname = \"ops\"\ntenant = \"ops\"\nsha256 = \"{}\"\nadmin = true\n\
         [tenant.shop]\n{of_tenant}\n",
        web.digest(),
        admin.digest()
    );
    KeyRing::read(&text).unwrap()
}

fn request(method: &str, path: &str, secret: &Secret, body: &str) -> String {
    let (length, secret) = (body.len(), secret.reveal());
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-api-key: {secret}\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}

fn code(reply: &Reply) -> (u16, &'static str, &'static str) {
    let error = &reply.json()["error"];
    let known = |it: &Value, words: &[&'static str]| {
        let word = it.as_str().unwrap();
        words.iter().find(|it| **it == word).copied().unwrap()
    };
    let kinds = [
        "requests",
        "tokens",
        "insufficient_quota",
        "invalid_request_error",
    ];
    let codes = [
        "rate_limit_exceeded",
        "insufficient_quota",
        "model_not_allowed",
    ];
    (
        reply.status,
        known(&error["type"], &kinds),
        known(&error["code"], &codes),
    )
}

fn message(reply: &Reply) -> String {
    reply.json()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned()
}

const SPENT: (u16, &str, &str) = (429, "insufficient_quota", "insufficient_quota");

/// Three tokens in and three out: all that it reserves.
fn six_tokens() -> Value {
    json!({"prompt": "abc", "max_tokens": 3})
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_calls_at_once_a_budget_for_a_hundred_admits_a_hundred() {
    let limited = Limited::start(0, "", "limits = { tokens_per_day = 600 }").await;
    let limited = Arc::new(limited);
    let calls = (0..1000).map(|_| {
        let limited = Arc::clone(&limited);
        tokio::spawn(async move { limited.ask(&six_tokens()).await })
    });
    let calls: Vec<_> = calls.collect();
    let mut admitted = 0;
    for call in calls {
        let reply = call.await.unwrap();
        if reply.status == 200 {
            admitted += 1;
            continue;
        }
        assert_eq!(code(&reply), SPENT, "{reply:?}");
        assert_eq!(reply.header("x-should-retry"), Some("false"));
    }
    assert_eq!(admitted, 100);
    assert_eq!(limited.left("tokens").await, 0);
    let reply = limited.ask(&six_tokens()).await;
    let told = message(&reply);
    for part in [
        "tenant `shop`",
        "600 tokens a day",
        "has 0 left",
        "midnight UTC",
    ] {
        assert!(told.contains(part), "{told}");
    }
    let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=86_400).contains(&seconds));
}

#[tokio::test]
async fn what_an_answer_did_not_use_is_given_back_when_it_ends() {
    let limited = Limited::start(0, "limits = { tokens_per_month = 1000 }", "").await;
    let reply = limited
        .ask(&json!({"prompt": "abcd", "max_tokens": 100}))
        .await;
    let used = &reply.json()["usage"]["total_tokens"];
    assert_eq!(limited.left("tokens").await, 1000 - used.as_u64().unwrap());
    // Nothing is charged for what is refused.
    let before = limited.left("tokens").await;
    let refused = limited
        .ask(&json!({"prompt": "abcd", "max_tokens": 1000, "n": 3}))
        .await;
    assert_eq!(code(&refused), SPENT);
    assert!(message(&refused).contains("never fit"), "{refused:?}");
    assert_eq!(refused.header("retry-after"), None);
    assert_eq!(limited.left("tokens").await, before);
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_reservation_and_its_place_back_at_once() {
    let of_key = "limits = { tokens_per_minute = 1000, concurrent_requests = 2 }";
    let limited = Limited::start(5, of_key, "").await;
    let long = json!({"prompt": "a".repeat(100), "max_tokens": 300, "stream": true});
    let first = limited.begun(&long).await;
    let second = limited.begun(&long).await;
    let left = limited.left("tokens").await;
    assert!((200..220).contains(&left), "{left}");
    let third = limited.ask(&six_tokens()).await;
    assert_eq!(code(&third), (429, "requests", "rate_limit_exceeded"));
    assert!(message(&third).contains("2 requests open at once"));
    assert_eq!(third.header("x-should-retry"), Some("true"));
    drop((first, second));
    let since = std::time::Instant::now();
    while limited.left("tokens").await < 700 {
        assert!(
            since.elapsed() < Duration::from_secs(5),
            "nothing comes back"
        );
    }
    assert_eq!(limited.ask(&six_tokens()).await.status, 200);
}

#[tokio::test]
async fn a_rate_says_when_to_come_back() {
    let of_key = "limits = { requests_per_minute = 3 }";
    let limited = Limited::start(0, of_key, "limits = { tokens_per_minute = 30 }").await;
    for left in [2, 1, 0] {
        let reply = limited.ask(&six_tokens()).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.header("x-ratelimit-limit-requests"), Some("3"));
        let told = reply.header("x-ratelimit-remaining-requests").unwrap();
        assert_eq!(told, left.to_string());
        assert_eq!(reply.header("x-ratelimit-limit-tokens"), Some("30"));
        assert!(
            reply
                .header("x-ratelimit-reset-tokens")
                .unwrap()
                .ends_with('s')
        );
    }
    let refused = limited.ask(&six_tokens()).await;
    assert_eq!(code(&refused), (429, "requests", "rate_limit_exceeded"));
    let told = message(&refused);
    assert!(
        told.contains("key `web` may send 3 requests a minute"),
        "{told}"
    );
    let ms: u64 = refused.header("retry-after-ms").unwrap().parse().unwrap();
    assert!((15_000..=20_000).contains(&ms), "{ms}");
    assert_eq!(
        refused.header("retry-after"),
        Some(ms.div_ceil(1000).to_string().as_str())
    );

    limited.change("", "limits = { tokens_per_minute = 30 }");
    let refused = limited
        .ask(&json!({"prompt": "abc", "max_tokens": 20}))
        .await;
    assert_eq!(code(&refused), (429, "tokens", "rate_limit_exceeded"));
    assert_eq!(refused.header("x-should-retry"), Some("true"));
    let refused = limited
        .ask(&json!({"prompt": "abc", "max_tokens": 28}))
        .await;
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    let metrics = limited.get("/metrics", &limited.admin).await.body;
    for (limit, scope, count) in [
        ("requests_per_minute", "key", 1),
        ("tokens_per_minute", "tenant", 2),
        ("tokens_per_day", "tenant", 0),
    ] {
        let line =
            format!("sconce_limits_reached_total{{limit=\"{limit}\",scope=\"{scope}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
}

#[tokio::test]
async fn a_figure_that_changes_keeps_what_was_used() {
    let limited = Limited::start(0, "limits = { tokens_per_day = 12 }", "").await;
    for _ in 0..2 {
        assert_eq!(limited.ask(&six_tokens()).await.status, 200);
    }
    assert_eq!(code(&limited.ask(&six_tokens()).await), SPENT);
    limited.change("limits = { tokens_per_day = 18 }", "");
    assert_eq!(limited.left("tokens").await, 6);
    assert_eq!(limited.ask(&six_tokens()).await.status, 200);
    assert_eq!(code(&limited.ask(&six_tokens()).await), SPENT);
    // What the tenant used before it had a limit counts as well.
    limited.change("", "limits = { tokens_per_month = 20 }");
    assert_eq!(limited.left("tokens").await, 2);
}

#[tokio::test]
async fn a_key_that_is_bound_to_models_learns_of_no_other() {
    let limited = Limited::start(0, "models = [\"tiny-alias\", \"other\"]", "").await;
    let list = limited.get("/v1/models", &limited.web).await.json();
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    for name in ["tiny", "tiny-alias", "default"] {
        let reply = limited.ask(&json!({"model": name, "prompt": "abc"})).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    limited.change("models = [\"other\"]", "");
    let list = limited.get("/v1/models", &limited.web).await.json();
    assert_eq!(list["data"], json!([]));
    for name in ["tiny", "default", "none"] {
        let reply = limited.ask(&json!({"model": name, "prompt": "abc"})).await;
        assert_eq!(
            code(&reply),
            (403, "invalid_request_error", "model_not_allowed")
        );
        assert_eq!(reply.json()["error"]["param"], "model");
        assert!(message(&reply).ends_with("it may ask: other"), "{reply:?}");
        let one = limited
            .get(&format!("/v1/models/{name}"), &limited.web)
            .await;
        assert_eq!(one.status, 403);
    }
    for path in ["/tokenizer_info", "/v1/models/tiny"] {
        assert_eq!(limited.get(path, &limited.web).await.status, 403, "{path}");
    }
    limited.change("models = [\"tiny\"]", "models = [\"other\"]");
    assert_eq!(limited.ask(&six_tokens()).await.status, 403);
    assert_eq!(
        limited.get("/v1/models/tiny", &limited.admin).await.status,
        200
    );
}

#[tokio::test]
async fn without_limits_nothing_is_told_of_them() {
    let limited = Limited::start(0, "", "").await;
    let reply = limited.ask(&six_tokens()).await;
    assert!(!reply.head.contains("x-ratelimit"), "{reply:?}");
}
