//! One order, from the account to the certificate in the store (RFC 8555 §7).

use crate::account_http::AccountHttp;
use crate::certificate::Certificate;
use crate::clock::{Clock, unix_seconds};
use crate::error::Failure;
use crate::http_client::HttpClient;
use crate::lookups::Lookups;
use crate::names::is_token;
use crate::store::{OpenChallenge, Placed, SavedAccount, Store};
use crate::{ChallengeKind, Error, Pace};
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, ExternalAccountKey, Identifier,
    NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// A whole order, with all waiting for the server.
const ORDER_TIME_MAX: Duration = Duration::from_secs(300);

/// Waiting for the server to look at the challenge, and again for it to issue.
const SERVER_TIME_MAX: Duration = Duration::from_secs(90);

/// RFC 8555 §6.7.
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// An ACME server, and our part of the store for it.
pub(crate) struct Server {
    pub(crate) directory_url: String,
    pub(crate) email: Option<String>,
    pub(crate) challenge: ChallengeKind,
    /// Key identifier and key.
    pub(crate) external: Option<(String, Vec<u8>)>,
    pub(crate) client: HttpClient,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) pace: Pace,
    pub(crate) answering: Answering,
}

/// How an order learns that this node answers its challenge.
#[derive(Clone)]
pub(crate) struct Answering {
    pub(crate) lookups: Arc<Lookups>,
    /// Makes the engine read the store.
    pub(crate) wake: Arc<Notify>,
    /// Marks each time that it has.
    pub(crate) turns: watch::Receiver<u64>,
}

impl Server {
    /// Orders a certificate for `name`, and keeps it in the store.
    pub(crate) async fn order(&self, name: &str) -> Result<Certificate, Failure> {
        match tokio::time::timeout(ORDER_TIME_MAX, Box::pin(self.order_however_long(name))).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::new(format!("not done within {} s", ORDER_TIME_MAX.as_secs()))),
        }
    }

    async fn order_however_long(&self, name: &str) -> Result<Certificate, Failure> {
        let http = AccountHttp::new(self.client.clone(), self.clock.clone());
        let mut order = self.begin(&http, name).await?;
        // In the store until the server has looked, however this ends.
        let placed = self.show(&http, &mut order, name).await?;
        let retries = RetryPolicy::new().initial_delay(self.pace.server_poll).timeout(SERVER_TIME_MAX);
        let ready = match order.state().status {
            status @ OrderStatus::Ready => Ok(status),
            _ => order.poll_ready(&retries).await,
        };
        match ready {
            Ok(OrderStatus::Ready) => {}
            Ok(_) => {
                return Err(refused(&mut order)
                    .await
                    .unwrap_or_else(|| Failure::new("the order is invalid")));
            }
            Err(error) => return Err(refused(&mut order).await.unwrap_or(http.explain(error))),
        }
        self.blocking(move |_| {
            drop(placed);
            Ok(())
        })
        .await?;
        let (csr, key_pem) = request(name)?;
        order.finalize_csr(&csr).await.map_err(|error| http.explain(error))?;
        let chain_pem = order.poll_certificate(&retries).await.map_err(|error| http.explain(error))?;
        self.keep(name, chain_pem, key_pem).await
    }

    async fn begin(&self, http: &AccountHttp, name: &str) -> Result<Order, Failure> {
        let identifiers = [Identifier::Dns(name.to_owned())];
        let order = NewOrder::new(&identifiers);
        let account = self.account(http).await?;
        let error = match account.new_order(&order).await {
            Ok(begun) => return Ok(begun),
            Err(error) => error,
        };
        if !matches!(&error, instant_acme::Error::Api(problem) if problem.r#type.as_deref() == Some(NO_ACCOUNT))
        {
            return Err(http.explain(error));
        }
        // A private authority that was set up anew has lost it; we do not need it for anything else.
        tracing::warn!(target: "acme", directory = self.directory_url, "the server does not know the account any more: making another");
        self.blocking(Store::forget_account).await?;
        let account = self.account(http).await?;
        account.new_order(&order).await.map_err(|error| http.explain(error))
    }

    /// The account of the store, or a new one that is kept there before anything is ordered with it.
    async fn account(&self, http: &AccountHttp) -> Result<Account, Failure> {
        let explain = |error| http.explain(error);
        let contact: Vec<String> = self.email.iter().map(|email| format!("mailto:{email}")).collect();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let builder = Account::builder_with_http(Box::new(http.clone()));
        if let Some(mut saved) = self.blocking(Store::account).await? {
            let credentials: AccountCredentials = serde_json::from_value(saved.credentials.clone())
                .map_err(|error| Failure::new(format!("the store's account.json: {error}")))?;
            let account = builder.from_credentials(credentials).await.map_err(explain)?;
            if saved.email != self.email {
                account.update_contacts(&contact).await.map_err(explain)?;
                saved.email.clone_from(&self.email);
                self.blocking(move |store| store.save_account(&saved)).await?;
            }
            return Ok(account);
        }
        let new =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let external = self.external.as_ref().map(|(id, key)| ExternalAccountKey::new(id.clone(), key));
        let (account, credentials) =
            builder.create(&new, self.directory_url.clone(), external.as_ref()).await.map_err(explain)?;
        let credentials =
            serde_json::to_value(&credentials).map_err(|error| Failure::new(error.to_string()))?;
        let saved = SavedAccount { email: self.email.clone(), credentials };
        self.blocking(move |store| store.save_account(&saved)).await?;
        Ok(account)
    }

    /// Lets the server see that the name is ours.
    async fn show(&self, http: &AccountHttp, order: &mut Order, name: &str) -> Result<Vec<Placed>, Failure> {
        let kind = match self.challenge {
            ChallengeKind::Http01 => ChallengeType::Http01,
            ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
        };
        let mut placed = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| http.explain(error))?;
            match authorization.status {
                // It was shown not long ago.
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                other => return Err(Failure::new(format!("the authorization is {other:?}").to_lowercase())),
            }
            let Some(mut challenge) = authorization.challenge(kind.clone()) else {
                let wanted = self.challenge.as_str();
                return Err(Failure::new(format!("the server does not offer {wanted} for {name}")));
            };
            if challenge.identifier().to_string() != name || !is_token(&challenge.token) {
                return Err(Failure::new("the server wants something else to be shown than was ordered"));
            }
            let open = OpenChallenge {
                kind: self.challenge,
                name: name.to_owned(),
                token: challenge.token.clone(),
                key_authorization: challenge.key_authorization().as_str().to_owned(),
                placed_unix_s: unix_seconds(self.clock.now()),
            };
            placed.push(self.blocking(move |store| store.place(&open)).await?);
            self.answered_everywhere(&challenge.token).await;
            challenge.set_ready().await.map_err(|error| http.explain(error))?;
        }
        Ok(placed)
    }

    /// Waits until this node answers, and then as long as the others may need.
    async fn answered_everywhere(&self, token: &str) {
        let mut turns = self.answering.turns.clone();
        self.answering.wake.notify_one();
        // The engine ends after its orders, so that there is always one to wait for.
        while !self.answering.lookups.answers(token) && turns.changed().await.is_ok() {}
        tokio::time::sleep(self.pace.settle).await;
    }

    /// Holds what came against what was ordered, and keeps it.
    async fn keep(&self, name: &str, chain_pem: String, key_pem: String) -> Result<Certificate, Failure> {
        let certificate = Certificate::new(name, &chain_pem, &key_pem)
            .map_err(|reason| Failure::new(format!("what the server issued cannot be used: {reason}")))?;
        if certificate.not_after <= self.clock.now() {
            return Err(Failure::new("what the server issued has ended already"));
        }
        let name = name.to_owned();
        self.blocking(move |store| store.save_certificate(&name, &chain_pem, &key_pem)).await?;
        Ok(certificate)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        blocking(&self.store, work).await
    }
}

/// Works on the store where it may take its time: a shared folder may be far away.
pub(crate) async fn blocking<T: Send + 'static>(
    store: &Store,
    work: impl FnOnce(&Store) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let here = store.clone();
    let done = tokio::task::spawn_blocking(move || work(&here)).await;
    done.unwrap_or_else(|error| Err(Error::store(store.root())(std::io::Error::other(error))))
}

/// A request for a certificate with a new key: its DER, and the key's PEM.
fn request(name: &str) -> Result<(Vec<u8>, String), Failure> {
    let made = || {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key)?;
        Ok((request.der().to_vec(), key.serialize_pem()))
    };
    made().map_err(|error: rcgen::Error| Failure::new(error.to_string()))
}

/// Why the server did not believe us: the order says little, the challenge says what was seen.
async fn refused(order: &mut Order) -> Option<Failure> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let state = authorization.refresh().await.ok()?;
        let error = state.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(error) = error {
            return Some(Failure::new(error.detail.clone().unwrap_or_else(|| error.to_string())));
        }
    }
    None
}
