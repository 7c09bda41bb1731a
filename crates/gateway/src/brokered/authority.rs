//! A project's own certificate authority, which only its machine trusts: made by the server, kept sealed
//! there, and told to the gateway, which makes short-lived certificates for bound hosts with it.

use crate::secret_text;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use rustls::{
    ServerConfig,
    crypto::SecureRandom,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use time::OffsetDateTime;
use toft_model::id::ProjectId;
use toft_policy::Host;
use toft_vault::Secret;
use zeroize::Zeroizing;

/// An authority lives as long as a project may.
const AUTHORITY_LIVES: Duration = Duration::from_hours(24 * 365 * 20);
/// A leaf lives as short as clients may be asked to take, and is made anew a day before its end.
const LEAF_LIVES: Duration = Duration::from_hours(24 * 7);
/// See above.
const LEAF_RENEWED: Duration = Duration::from_hours(24);
/// Clocks differ, and go back after a pause.
const EARLIER: Duration = Duration::from_hours(24);
/// Leaves that are kept: a wildcard may mean any number of hosts.
const LEAVES_MAX: usize = 256;
/// Random bytes of a leaf's serial number.
const SERIAL_BYTES: usize = 16;
/// Letters of a line of PEM (RFC 7468 §2).
const PEM_LINE: usize = 64;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The authority's key is none.
    #[error("the key of the project's authority is not understood")]
    Key,
    /// It could not be made.
    #[error("a certificate could not be made: {0}")]
    Make(rcgen::Error),
    /// TLS refuses it.
    #[error("a certificate could not be used: {0}")]
    Use(rustls::Error),
}

impl From<rcgen::Error> for AuthorityError {
    fn from(error: rcgen::Error) -> Self {
        Self::Make(error)
    }
}

/// The key of an authority, as it travels to the gateway.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mint(#[serde(with = "secret_text")] Secret);

impl Mint {
    /// Takes over a key that was made by [`make`].
    pub fn new(key: Secret) -> Self {
        Self(key)
    }
}

/// A new authority: its certificate (PEM), for the machine, and its key (PKCS #8 in base64), which never
/// goes there.
pub fn make(project: &ProjectId) -> Result<(String, Secret), AuthorityError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params(project).self_signed(&key)?;
    let der = Zeroizing::new(key.serialize_der());
    Ok((pem(certificate.der()), Secret::new(STANDARD.encode(&*der))))
}

/// What the authority is, made from nothing but its project's id: leaves name the same issuer.
fn params(project: &ProjectId) -> CertificateParams {
    let mut params = CertificateParams::default();
    // Leaves only, no authorities below it.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, format!("Toft project {project}"));
    params.distinguished_name.push(DnType::OrganizationName, "Toft, this machine only");
    (params.not_before, params.not_after) = lives(AUTHORITY_LIVES);
    params
}

fn lives(long: Duration) -> (OffsetDateTime, OffsetDateTime) {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = since_epoch.unwrap_or_default();
    let at = |when: Duration| {
        let seconds = i64::try_from(when.as_secs()).unwrap_or(i64::MAX);
        OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    };
    (at(now.saturating_sub(EARLIER)), at(now.saturating_add(long)))
}

/// Of one issuer no two certificates may have the same (RFC 5280 §4.1.2.2: positive, 20 bytes at most);
/// without ours it would be made from the key, which all leaves share.
fn serial(random: &dyn SecureRandom) -> Result<SerialNumber, AuthorityError> {
    let mut bytes = [0; SERIAL_BYTES];
    random.fill(&mut bytes).map_err(|error| AuthorityError::Use(error.into()))?;
    // Positive, and as long as it is said to be.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn pem(der: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    for start in (0..text.len()).step_by(PEM_LINE) {
        out.push_str(&text[start..text.len().min(start + PEM_LINE)]);
        out.push('\n');
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

/// Makes and keeps certificates for hosts.
pub(crate) struct Leaves {
    issuer: Issuer<'static, KeyPair>,
    /// One key for all of them, which is gone with the gateway.
    key: KeyPair,
    made: Mutex<HashMap<Host, Leaf>>,
}

struct Leaf {
    config: Arc<ServerConfig>,
    until: SystemTime,
}

impl Leaves {
    pub(crate) fn new(project: &ProjectId, mint: &Mint) -> Result<Self, AuthorityError> {
        let der = STANDARD.decode(mint.0.expose()).map_err(|_| AuthorityError::Key)?;
        let der = PrivatePkcs8KeyDer::from(der);
        let issuer = KeyPair::try_from(&der).map_err(|_| AuthorityError::Key)?;
        Ok(Self {
            issuer: Issuer::new(params(project), issuer),
            key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
            made: Mutex::default(),
        })
    }

    /// How to speak TLS for this host.
    pub(crate) fn for_host(&self, host: &Host) -> Result<Arc<ServerConfig>, AuthorityError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let now = SystemTime::now();
        if let Some(leaf) = made.get(host).filter(|leaf| leaf.until > now) {
            return Ok(Arc::clone(&leaf.config));
        }
        let config = self.make(host)?;
        if made.len() >= LEAVES_MAX {
            made.clear();
        }
        let until = now + LEAF_LIVES - LEAF_RENEWED;
        made.insert(host.clone(), Leaf { config: Arc::clone(&config), until });
        Ok(config)
    }

    fn certificate(
        &self,
        host: &Host,
        random: &dyn SecureRandom,
    ) -> Result<CertificateDer<'static>, AuthorityError> {
        let mut params = CertificateParams::new(vec![host.to_string()])?;
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::OrganizationName, "Toft, this machine only");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial(random)?);
        (params.not_before, params.not_after) = lives(LEAF_LIVES);
        Ok(params.signed_by(&self.key, &self.issuer)?.der().clone())
    }

    fn make(&self, host: &Host) -> Result<Arc<ServerConfig>, AuthorityError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificate = self.certificate(host, provider.secure_random)?;
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let certified = CertifiedKey::from_der(vec![certificate], key, &provider)
            .map_err(AuthorityError::Use)?;
        let resolver = rustls::sign::SingleCertAndKey::from(certified);
        // What is spoken within it is said for each connection.
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(AuthorityError::Use)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_leaves_have_one_serial_number() {
        let project = ProjectId::random();
        let (_, key) = make(&project).unwrap();
        let leaves = Leaves::new(&project, &Mint::new(key)).unwrap();
        let provider = rustls::crypto::ring::default_provider();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..50 {
            let host = Host::parse("api.test").unwrap();
            let der = leaves.certificate(&host, provider.secure_random).unwrap();
            // Two sequences, the version, and an integer of so many bytes.
            let (begins, rest) = der[8..].split_at(7);
            assert_eq!(begins, [0xa0, 3, 2, 1, 2, 2, 16]);
            let serial = &rest[..SERIAL_BYTES];
            assert!(serial[0] & 0x80 == 0 && serial[0] != 0, "positive, and no byte of padding");
            assert!(seen.insert(serial.to_vec()), "another each time");
        }
    }
}
