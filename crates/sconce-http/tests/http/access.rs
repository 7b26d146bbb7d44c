//! Who is let in, and as whom.

use std::sync::Arc;

use sconce_http::{Access, HostNames, HttpLimits, OPEN_PATHS, SharedKeys, paths};
use sconce_keys::{KeyRing, NewKey, Secret, entry_text};
use serde_json::{Value, json};

use crate::server::{Reply, Server};
use crate::stage::Stage;

const COMPLETIONS: &str = "/v1/completions";

/// A server with three keys: of the tenant `shop` two, one of them expired, and an administrator's.
struct Guarded {
    stage: Stage,
    server: Server,
    keys: SharedKeys,
    shop: Secret,
    bank: Secret,
    admin: Secret,
    expired: Secret,
}

fn entry(name: &str, secret: &Secret, change: impl FnOnce(&mut NewKey)) -> String {
    let mut key = NewKey {
        name: name.to_owned(),
        tenant: name.to_owned(),
        is_admin: false,
        most_urgent: sconce_domain::Priority(0),
        expires: None,
        models: None,
        limits: sconce_domain::Limits::default(),
    };
    change(&mut key);
    entry_text(&key, secret.digest()).unwrap()
}

impl Guarded {
    async fn start() -> Self {
        let [shop, bank, admin, expired] = [(); 4].map(|()| Secret::new().unwrap());
        let text = [
            entry("shop", &shop, |_| {}),
            entry("bank", &bank, |it| {
                it.most_urgent = sconce_domain::Priority(-3);
            }),
            entry("admin", &admin, |it| it.is_admin = true),
            entry("expired", &expired, |it| {
                it.tenant = "shop".to_owned();
                it.expires = Some(std::time::SystemTime::UNIX_EPOCH);
            }),
        ];
        let keys = SharedKeys::new(KeyRing::read(&text.concat()).unwrap());
        let stage = Stage::echo(0);
        let access = Access::Keys(keys.clone());
        let server = Server::start_for(&stage.pipeline, HttpLimits::default(), access).await;
        Self {
            stage,
            server,
            keys,
            shop,
            bank,
            admin,
            expired,
        }
    }

    async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\
             content-length: {length}\r\n\r\n{body}"
        );
        self.server.bytes(request.as_bytes()).await
    }

    async fn ask(&self, secret: &Secret, body: &Value) -> Reply {
        let header = format!("Authorization: Bearer {}\r\n", secret.reveal());
        self.send("POST", COMPLETIONS, &header, &body.to_string())
            .await
    }

    async fn get_as(&self, secret: &Secret, path: &str) -> Reply {
        let header = format!("x-api-key: {}\r\n", secret.reveal());
        self.send("GET", path, &header, "").await
    }
}

fn code(reply: &Reply) -> (u16, String) {
    let code = reply.json()["error"]["code"].as_str().unwrap().to_owned();
    (reply.status, code)
}

#[tokio::test]
async fn nothing_but_health_answers_without_a_key_by_any_path_method_or_header() {
    let guarded = Guarded::start().await;
    let wrong = Secret::new().unwrap();
    let headers = [
        String::new(),
        format!("Authorization: Bearer {}\r\n", wrong.reveal()),
        format!("Authorization: Basic {}\r\n", guarded.shop.reveal()),
        format!("Authorization: {}\r\n", guarded.shop.reveal()),
        "Authorization: Bearer\r\n".to_owned(),
        "Authorization: Bearer \u{fc}\r\n".to_owned(),
        format!("x-api-key: {}\r\n", wrong.reveal()),
        format!("x-api-key: {}\r\n", "k".repeat(5000)),
        "x-api-key:\r\n".to_owned(),
        // Two keys that differ could be one key to one reader and another to the next.
        format!(
            "x-api-key: {}\r\nAuthorization: Bearer {}\r\n",
            wrong.reveal(),
            guarded.shop.reveal()
        ),
    ];
    let known = paths();
    assert!(known.len() > 8 && OPEN_PATHS.iter().all(|it| known.contains(it)));
    let closed = known.iter().filter(|it| !OPEN_PATHS.contains(it));
    let closed: Vec<String> = closed.map(|it| it.replace("{*name}", "m")).collect();
    let mut tried: Vec<String> = closed.clone();
    for path in &closed {
        tried.push(format!("{path}/"));
        tried.push(format!("/{path}"));
        tried.push(path.replacen("/", "/%2e/", 1));
        tried.push(path.replace('m', "%6d"));
        tried.push(format!("{path}?key={}", guarded.shop.reveal()));
        tried.push(format!("/health/..{path}"));
        tried.push(format!("http://localhost{path}"));
    }
    tried.extend(["/", "/nothing", "/health/", "//health", "/ready%2f"].map(str::to_owned));
    for path in &tried {
        for method in ["GET", "POST", "DELETE"] {
            for headers in &headers {
                let reply = guarded.send(method, path, headers, "").await;
                assert_eq!(reply.status, 401, "{method} {path} {headers:?} {reply:?}");
                assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
            }
        }
    }
    for path in OPEN_PATHS {
        assert_eq!(guarded.send("GET", path, "", "").await.status, 200);
    }
    let metrics = guarded.get_as(&guarded.admin, "/metrics").await.body;
    for reason in ["missing_api_key", "invalid_api_key"] {
        assert!(
            metrics.contains(&format!("reason=\"{reason}\"")),
            "{metrics}"
        );
    }
}

#[tokio::test]
async fn a_key_opens_in_either_header_and_an_expired_or_removed_one_no_more() {
    let guarded = Guarded::start().await;
    let body = json!({"prompt": "abc"});
    for scheme in ["Bearer", "bearer", "BEARER "] {
        let header = format!("Authorization: {scheme} {}\r\n", guarded.shop.reveal());
        let reply = guarded
            .send("POST", COMPLETIONS, &header, &body.to_string())
            .await;
        assert_eq!(reply.status, 200, "{scheme} {reply:?}");
    }
    let models = guarded.get_as(&guarded.shop, "/v1/models").await;
    assert_eq!(models.status, 200, "{models:?}");
    let both = format!(
        "Authorization: Bearer {0}\r\nx-api-key: {0}\r\n",
        guarded.shop.reveal()
    );
    assert_eq!(
        guarded.send("GET", "/v1/models", &both, "").await.status,
        200
    );

    let expired = guarded.ask(&guarded.expired, &body).await;
    assert_eq!(code(&expired), (401, "expired_api_key".to_owned()));
    let bank = entry("bank", &guarded.bank, |_| {});
    guarded.keys.replace(KeyRing::read(&bank).unwrap());
    let removed = guarded.ask(&guarded.shop, &body).await;
    assert_eq!(code(&removed), (401, "invalid_api_key".to_owned()));
    assert_eq!(guarded.ask(&guarded.bank, &body).await.status, 200);
}

#[tokio::test]
async fn only_an_administrators_key_finds_the_metrics() {
    let guarded = Guarded::start().await;
    assert_eq!(guarded.get_as(&guarded.admin, "/metrics").await.status, 200);
    let hidden = guarded.get_as(&guarded.shop, "/metrics").await;
    assert_eq!(code(&hidden), (404, "unknown_url".to_owned()));
}

#[tokio::test]
async fn a_key_asks_no_more_urgently_than_it_may() {
    let guarded = Guarded::start().await;
    let body = |priority: i32| json!({"prompt": "abc", "priority": priority});
    let refused = guarded.ask(&guarded.shop, &body(-1)).await;
    assert_eq!(code(&refused), (403, "priority_not_allowed".to_owned()));
    assert_eq!(refused.json()["error"]["param"], "priority");
    assert_eq!(guarded.ask(&guarded.shop, &body(0)).await.status, 200);
    assert_eq!(guarded.ask(&guarded.bank, &body(-3)).await.status, 200);
    assert_eq!(guarded.ask(&guarded.bank, &body(-4)).await.status, 403);
    assert_eq!(guarded.stage.pipeline.answers_open(), 0);
}

#[tokio::test]
async fn one_tenant_finds_nothing_in_the_cache_of_what_another_asked() {
    let guarded = Guarded::start().await;
    let prompt: String = (0..64).map(|it| char::from(b'a' + it % 26)).collect();
    let cached = async |secret: &Secret| {
        let reply = guarded.ask(secret, &json!({"prompt": prompt})).await;
        let usage = &reply.json()["usage"];
        usage["prompt_tokens_details"]["cached_tokens"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(cached(&guarded.shop).await, 0);
    assert!(cached(&guarded.shop).await > 0);
    assert_eq!(cached(&guarded.bank).await, 0);
}

#[tokio::test]
async fn a_server_without_keys_answers_to_its_own_names_only() {
    let stage = Stage::echo(0);
    let names = HostNames::local_and(vec!["models.example".to_owned()]);
    let access = Access::Open(Arc::new(names));
    let server = Server::start_for(&stage.pipeline, HttpLimits::default(), access).await;
    let get = async |path: &str, headers: &str| {
        let request = format!("GET {path} HTTP/1.1\r\n{headers}connection: close\r\n\r\n");
        server.bytes(request.as_bytes()).await
    };
    for headers in [
        "host: localhost:8080\r\n",
        "host: 127.0.0.1\r\norigin: http://localhost:3000\r\n",
        "host: models.example\r\n",
    ] {
        assert_eq!(get("/v1/models", headers).await.status, 200, "{headers}");
    }
    for headers in [
        "host: evil.example\r\n",
        "host: localhost\r\norigin: https://evil.example\r\n",
        "host: localhost\r\norigin: null\r\n",
    ] {
        let reply = get("/metrics", headers).await;
        assert_eq!(code(&reply), (403, "host_not_allowed".to_owned()));
        assert_eq!(get("/health", headers).await.status, 200, "{headers}");
    }
}
