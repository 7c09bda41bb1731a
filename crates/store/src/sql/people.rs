//! [`People`].

use super::{DbRow, SqlStore, ms, unsigned};
use crate::{
    error::StoreError,
    people::{NewSession, People, Role, Session, User, UserPatch},
};
use async_trait::async_trait;
use sqlx::{FromRow, Row as _};
use toft_model::id::uuid_v7;

/// The default team's key, made by the first migration.
const DEFAULT_TEAM: i64 = 1;
/// Provider id of a password account, as better-auth names it.
const CREDENTIAL: &str = "credential";

/// Columns and tables of a person; `$more` columns, `$from` the table to start from.
macro_rules! person {
    ($more:literal, $from:literal, $rest:literal) => {
        concat!(
            "SELECT ", $more, " u.id, u.name, u.email, m.role, EXISTS (SELECT 1 FROM account a \
             WHERE a.user_id = u.id AND a.provider_id = 'credential' AND a.password IS NOT NULL) \
             AS has_password FROM ", $from, " JOIN member m ON m.user_id = u.id \
             AND m.team_id = 1 ", $rest
        )
    };
}

/// A person's sign-in, found by `$where`.
macro_rules! sign_in {
    ($rest:literal) => {
        person!(
            "s.id AS session_id, s.created_at, s.updated_at, s.expires_at,",
            "session s JOIN \"user\" u ON u.id = s.user_id",
            $rest
        )
    };
}

impl FromRow<'_, DbRow> for User {
    fn from_row(row: &DbRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            email: row.try_get("email")?,
            role: Role::parse(row.try_get("role")?),
            has_password: row.try_get("has_password")?,
        })
    }
}

impl FromRow<'_, DbRow> for Session {
    fn from_row(row: &DbRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("session_id")?,
            user: User::from_row(row)?,
            created_at: unsigned(row.try_get("created_at")?),
            used_at: unsigned(row.try_get("updated_at")?),
            expires_at: unsigned(row.try_get("expires_at")?),
        })
    }
}

const USER_BY_ID: &str = person!("", "\"user\" u", "WHERE u.id = $1");

#[async_trait]
impl People for SqlStore {
    async fn first_admin(&self, name: &str, email: &str, now_ms: u64) -> Result<User, StoreError> {
        let mut tx = self.begin().await?;
        // Servers that start at once make one owner.
        sqlx::query(concat!("SELECT id FROM team WHERE id = $1", held!()))
            .bind(DEFAULT_TEAM)
            .execute(tx.on())
            .await?;
        let found: Option<User> = sqlx::query_as(person!(
            "",
            "\"user\" u",
            "WHERE m.role = 'owner' ORDER BY m.created_at, u.id LIMIT 1"
        ))
        .fetch_optional(tx.on())
        .await?;
        if let Some(user) = found {
            return Ok(user);
        }
        let user = User {
            id: uuid_v7(now_ms),
            name: name.to_owned(),
            email: email.to_owned(),
            role: Role::Owner,
            has_password: false,
        };
        sqlx::query(
            "INSERT INTO \"user\" (id, name, email, created_at, updated_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(&user.id)
        .bind(name)
        .bind(email)
        .bind(ms(now_ms))
        .bind(ms(now_ms))
        .execute(tx.on())
        .await
        .map_err(|e| StoreError::or_taken(e, "this e-mail address"))?;
        sqlx::query(
            "INSERT INTO member (team_id, user_id, role, created_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(DEFAULT_TEAM)
        .bind(&user.id)
        .bind(user.role.as_str())
        .bind(ms(now_ms))
        .execute(tx.on())
        .await?;
        tx.commit().await?;
        Ok(user)
    }

    async fn user(&self, id: &str) -> Result<Option<User>, StoreError> {
        Ok(sqlx::query_as(USER_BY_ID).bind(id).fetch_optional(&self.read).await?)
    }

    async fn user_by_email(
        &self,
        email: &str,
    ) -> Result<Option<(User, Option<String>)>, StoreError> {
        let user: Option<User> = sqlx::query_as(concat!(
            person!("", "\"user\" u", "WHERE "),
            same_word!("u.email", "$1")
        ))
        .bind(email)
        .fetch_optional(&self.read)
        .await?;
        let Some(user) = user else { return Ok(None) };
        let password = self.password_of(&user.id).await?;
        Ok(Some((user, password)))
    }

    async fn password_of(&self, user: &str) -> Result<Option<String>, StoreError> {
        let row: Option<(Option<String>,)> =
            sqlx::query_as("SELECT password FROM account WHERE user_id = $1 AND provider_id = $2")
                .bind(user)
                .bind(CREDENTIAL)
                .fetch_optional(&self.read)
                .await?;
        Ok(row.and_then(|(password,)| password))
    }

    async fn update_user(
        &self,
        id: &str,
        patch: &UserPatch,
        now_ms: u64,
    ) -> Result<User, StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "UPDATE \"user\" SET name = coalesce($1, name), \
             email_verified = CASE WHEN $2 IS NULL THEN email_verified ELSE 0 END, \
             email = coalesce($3, email), updated_at = $4 WHERE id = $5",
        )
        .bind(&patch.name)
        .bind(&patch.email)
        .bind(&patch.email)
        .bind(ms(now_ms))
        .bind(id)
        .execute(tx.on())
        .await
        .map_err(|e| StoreError::or_taken(e, "this e-mail address"))?;
        if let Some(phc) = &patch.password_phc {
            sqlx::query(
                "INSERT INTO account (id, user_id, provider_id, account_id, password, created_at, \
                 updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (provider_id, account_id) \
                 DO UPDATE SET password = excluded.password, updated_at = excluded.updated_at",
            )
            .bind(uuid_v7(now_ms))
            .bind(id)
            .bind(CREDENTIAL)
            .bind(id)
            .bind(phc)
            .bind(ms(now_ms))
            .bind(ms(now_ms))
            .execute(tx.on())
            .await?;
        }
        let user: Option<User> =
            sqlx::query_as(USER_BY_ID).bind(id).fetch_optional(tx.on()).await?;
        let user = user.ok_or(StoreError::Missing { what: "user" })?;
        tx.commit().await?;
        Ok(user)
    }

    async fn put_session(&self, session: &NewSession) -> Result<(), StoreError> {
        retried!(
            async {
                let mut tx = self.begin().await?;
                sqlx::query("DELETE FROM session WHERE expires_at <= $1")
                    .bind(ms(session.created_at))
                    .execute(tx.on())
                    .await?;
                sqlx::query(
                    "INSERT INTO session (id, user_id, token, expires_at, ip_address, user_agent, \
             created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                )
                .bind(&session.id)
                .bind(&session.user_id)
                .bind(session.token_hash.as_slice())
                .bind(ms(session.expires_at))
                .bind(&session.ip_address)
                .bind(&session.user_agent)
                .bind(ms(session.created_at))
                .bind(ms(session.created_at))
                .execute(tx.on())
                .await?;
                tx.commit().await
            }
            .await
        )
    }

    async fn session(&self, token_hash: &[u8; 32]) -> Result<Option<Session>, StoreError> {
        Ok(sqlx::query_as(sign_in!("WHERE s.token = $1"))
            .bind(token_hash.as_slice())
            .fetch_optional(&self.read)
            .await?)
    }

    async fn session_by_id(&self, id: &str) -> Result<Option<Session>, StoreError> {
        Ok(sqlx::query_as(sign_in!("WHERE s.id = $1")).bind(id).fetch_optional(&self.read).await?)
    }

    async fn touch_session(&self, id: &str, now_ms: u64) -> Result<(), StoreError> {
        let mut tx = self.begin_relaxed().await?;
        sqlx::query("UPDATE session SET updated_at = $1 WHERE id = $2 AND updated_at < $1")
            .bind(ms(now_ms))
            .bind(id)
            .execute(tx.on())
            .await?;
        tx.commit().await
    }

    async fn delete_session(&self, id: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM session WHERE id = $1").bind(id).execute(tx.on()).await?;
        tx.commit().await
    }

    async fn delete_sessions_of(&self, user: &str, keep: Option<&str>) -> Result<(), StoreError> {
        retried!(
            async {
                let mut tx = self.begin().await?;
                sqlx::query("DELETE FROM session WHERE user_id = $1 AND id <> coalesce($2, '')")
                    .bind(user)
                    .bind(keep)
                    .execute(tx.on())
                    .await?;
                tx.commit().await
            }
            .await
        )
    }

    async fn put_verification(
        &self,
        identifier: &str,
        value_hash: &[u8; 32],
        now_ms: u64,
        expires_at: u64,
        alone: bool,
    ) -> Result<(), StoreError> {
        retried!(
            async {
                let mut tx = self.begin().await?;
                sqlx::query(
                    "DELETE FROM verification WHERE expires_at <= $1 OR ($2 AND identifier = $3)",
                )
                .bind(ms(now_ms))
                .bind(alone)
                .bind(identifier)
                .execute(tx.on())
                .await?;
                sqlx::query(
                    "INSERT INTO verification (id, identifier, value, expires_at, created_at) \
             VALUES ($1, $2, $3, $4, $5)",
                )
                .bind(uuid_v7(now_ms))
                .bind(identifier)
                .bind(value_hash.as_slice())
                .bind(ms(expires_at))
                .bind(ms(now_ms))
                .execute(tx.on())
                .await?;
                tx.commit().await
            }
            .await
        )
    }

    async fn take_verification(
        &self,
        identifier: &str,
        value_hash: &[u8; 32],
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let taken = sqlx::query(
            "DELETE FROM verification WHERE identifier = $1 AND value = $2 AND expires_at > $3",
        )
        .bind(identifier)
        .bind(value_hash.as_slice())
        .bind(ms(now_ms))
        .execute(tx.on())
        .await?
        .rows_affected();
        tx.commit().await?;
        Ok(taken == 1)
    }
}
