//! The shop from outside, without a network.

use super::catalogue::PRODUCTS;
use super::{Shop, router};
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use std::sync::Arc;
use tower::ServiceExt;

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

fn shop() -> Arc<Shop> {
    Shop::new("shop-1".into(), 3001)
}

async fn send(shop: &Arc<Shop>, request: Request<Body>) -> Answer {
    let response = router(Arc::clone(shop)).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

async fn get(path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(&shop(), request.body(Body::empty()).unwrap()).await
}

async fn post(shop: &Arc<Shop>, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(shop, request.body(Body::from(body.to_owned())).unwrap()).await
}

const BROWSER: (&str, &str) = ("accept", "text/html,*/*;q=0.8");

#[tokio::test]
async fn the_front_shows_every_product_and_who_answered() {
    let answer = get("/", &[BROWSER]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(answer.header("x-served-by"), "shop-1");
    assert_eq!(answer.header("cache-control"), "private, no-cache");
    for product in &PRODUCTS {
        assert!(answer.body.contains(&format!("href=\"/product/{}\"", product.id)), "{}", product.id);
    }
    assert!(answer.body.contains("<strong>shop-1</strong>"));
}

#[tokio::test]
async fn every_link_of_every_page_leads_somewhere() {
    for page in ["/", "/products", "/product/moon-jar", "/cart", "/search?q=vase", "/whoami"] {
        let body = get(page, &[BROWSER, ("cookie", "cart=tea-bowl.2")]).await.body;
        let links =
            body.split(['"']).filter(|part| part.starts_with('/') && *part != "/slow" && *part != "/events");
        for link in links {
            assert_eq!(get(link, &[BROWSER]).await.status, StatusCode::OK, "{link} on {page}");
        }
    }
}

#[tokio::test]
async fn a_picture_is_sent_once_and_then_only_confirmed() {
    let first = get("/img/tea-bowl.svg", &[]).await;
    assert_eq!((first.status, first.header("content-type")), (StatusCode::OK, "image/svg+xml"));
    assert_eq!(first.header("cache-control"), "public, max-age=3600");
    let tag = first.header("etag").to_owned();
    for held in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".into()] {
        let again = get("/img/tea-bowl.svg", &[("if-none-match", &held)]).await;
        assert_eq!((again.status, again.body.as_str()), (StatusCode::NOT_MODIFIED, ""), "{held}");
        assert_eq!(again.header("etag"), tag);
    }
    assert_eq!(get("/img/tea-bowl.svg", &[("if-none-match", "\"x\"")]).await.status, StatusCode::OK);
    assert_ne!(get("/img/moon-jar.svg", &[]).await.header("etag"), tag);
}

#[tokio::test]
async fn what_pages_refer_to_is_there_without_anybody_in_front() {
    let style = get("/assets/style.css", &[]).await;
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
    for reference in style.body.split("url(").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert_eq!(get(reference, &[]).await.header("content-type"), "image/svg+xml", "{reference}");
    }
    assert_eq!(get("/assets/nothing.css", &[]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_cart_is_filled_changed_and_emptied() {
    let shop = shop();
    let added = post(&shop, "/cart", &[], "product=tea-bowl&quantity=2").await;
    assert_eq!((added.status, added.header("location")), (StatusCode::SEE_OTHER, "/cart"));
    let cookie = added.header("set-cookie").split(';').next().unwrap().to_owned();
    assert_eq!(cookie, "cart=tea-bowl.2");
    let more = post(&shop, "/cart", &[("cookie", &cookie)], "product=tea-bowl&quantity=1").await;
    assert!(more.header("set-cookie").starts_with("cart=tea-bowl.3;"));
    let shown = get("/cart", &[BROWSER, ("cookie", "cart=tea-bowl.3~espresso-cup.1")]).await.body;
    assert!(shown.contains("€172.00") && shown.contains("Cart <b>4</b>"), "{shown}");
    let emptied = post(&shop, "/cart", &[("cookie", &cookie)], "product=tea-bowl&quantity=0&set=yes").await;
    assert!(
        emptied.header("set-cookie").starts_with("cart=; ")
            && emptied.header("set-cookie").contains("Max-Age=0")
    );
    for body in ["product=nothing&quantity=1", "product=tea-bowl&quantity=-1", "quantity=1", ""] {
        assert!(post(&shop, "/cart", &[], body).await.status.is_client_error(), "{body}");
    }
}

#[tokio::test]
async fn what_a_client_sends_is_shown_and_never_obeyed() {
    let nasty = "/search?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
    let answer = get(nasty, &[BROWSER]).await;
    assert!(answer.body.contains("&quot;&gt;&lt;script&gt;") && !answer.body.contains("<script"));
    let answer = get("/%3Cscript%3E", &[BROWSER]).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(!answer.body.contains("<script"));
    let answer = get("/whoami", &[BROWSER, ("x-test", "<script>")]).await;
    assert!(answer.body.contains("<code>&lt;script&gt;</code>") && !answer.body.contains("<script"));
}

#[tokio::test]
async fn whoami_speaks_to_browsers_programs_and_people() {
    let text = get("/whoami", &[("host", "shop.test"), ("accept", "*/*")]).await;
    assert_eq!(text.header("content-type"), "text/plain; charset=utf-8");
    assert!(text.body.starts_with("shop-1 (pid "), "{}", text.body);
    assert!(text.body.contains("\nGET /whoami HTTP/1.1\nhost: shop.test\n"), "{}", text.body);
    let json = get("/whoami", &[("accept", "application/json"), ("x-a", "1"), ("x-a", "2")]).await;
    let json: serde_json::Value = serde_json::from_str(&json.body).unwrap();
    assert_eq!((&json["instance"], &json["requests"]), (&"shop-1".into(), &1.into()));
    assert_eq!(json["headers"]["x-a"], serde_json::json!(["1", "2"]));
    assert!(get("/whoami", &[BROWSER]).await.body.contains("<h1>shop-1</h1>"));
}

#[tokio::test]
async fn the_shelf_is_there_for_programs_too() {
    let all: serde_json::Value = serde_json::from_str(&get("/api/products", &[]).await.body).unwrap();
    assert_eq!(all.as_array().unwrap().len(), PRODUCTS.len());
    let one: serde_json::Value =
        serde_json::from_str(&get("/api/products/moon-jar", &[]).await.body).unwrap();
    assert_eq!(one, all[0]);
    assert_eq!(one["price_cents"], 18_900);
    let none = get("/api/products/nothing", &[]).await;
    assert_eq!((none.status, none.body.as_str()), (StatusCode::NOT_FOUND, r#"{"error":"no such product"}"#));
}

#[tokio::test]
async fn health_can_be_lost_and_found_by_asking_the_instance_itself() {
    let shop = shop();
    let health = async || send(&shop, Request::get("/healthz").body(Body::empty()).unwrap()).await.status;
    assert_eq!(health().await, StatusCode::OK);
    for name in ["via", "x-forwarded-for", "forwarded", "origin"] {
        let refused = post(&shop, "/health/fail", &[(name, "x")], "").await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        assert!(refused.body.contains("http://127.0.0.1:3001/health/fail"));
    }
    assert_eq!(health().await, StatusCode::OK);
    assert_eq!(
        post(&shop, "/health/fail", &[], "").await.body,
        "shop-1 fails its health check from now on\n"
    );
    assert_eq!(health().await, StatusCode::SERVICE_UNAVAILABLE);
    post(&shop, "/health/mend", &[], "").await;
    assert_eq!(health().await, StatusCode::OK);
}

#[tokio::test]
async fn a_slow_page_has_a_longest_wait() {
    assert_eq!(get("/slow?ms=5", &[]).await.body, "shop-1 answered after 5 ms\n");
    assert!(get("/slow?ms=5", &[BROWSER]).await.body.contains("took 5 ms"));
    assert_eq!(get("/slow?ms=10001", &[]).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(get("/slow?ms=soon", &[]).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_stream_ends_with_its_instance() {
    let shop = shop();
    let request = Request::get("/events").body(Body::empty()).unwrap();
    let response = router(Arc::clone(&shop)).oneshot(request).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    shop.stopping.send_replace(true);
    assert!(to_bytes(response.into_body(), 1 << 20).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stream_ticks_every_second() {
    let shop = shop();
    let request = Request::get("/events").body(Body::empty()).unwrap();
    let response = router(Arc::clone(&shop)).oneshot(request).await.unwrap();
    let reading = tokio::spawn(to_bytes(response.into_body(), 1 << 20));
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    shop.stopping.send_replace(true);
    let text = String::from_utf8(reading.await.unwrap().unwrap().to_vec()).unwrap();
    assert_eq!(text.matches("event: tick\n").count(), 3, "{text}");
    assert!(
        text.starts_with("event: tick\nid: 1\ndata: {\"count\":1,\"instance\":\"shop-1\"}\n\n"),
        "{text}"
    );
}

#[tokio::test]
async fn an_unknown_path_is_told_in_the_form_the_client_likes() {
    assert_eq!(get("/nowhere", &[]).await.body, "nothing at /nowhere\n");
    assert_eq!(
        get("/nowhere", &[("accept", "application/json")]).await.body,
        r#"{"error":"nothing at /nowhere"}"#
    );
    let page = get("/nowhere", &[BROWSER]).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.body.contains("Not on this shelf"));
    assert_eq!(get("/product/nothing", &[BROWSER]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(get("/img/tea-bowl.png", &[]).await.status, StatusCode::NOT_FOUND);
}
