//! [`Prices`].

use super::{DbRow, SqlStore, flag, ms, unsigned};
use crate::{
    error::StoreError,
    prices::{ModelPrice, Prices},
};
use async_trait::async_trait;
use sqlx::{FromRow, Row as _};

impl FromRow<'_, DbRow> for ModelPrice {
    fn from_row(row: &DbRow) -> sqlx::Result<Self> {
        let number = |name: &str| row.try_get::<i64, _>(name).map(unsigned);
        let number_of =
            |name: &str| row.try_get::<Option<i64>, _>(name).map(|number| number.map(unsigned));
        Ok(Self {
            provider: row.try_get("provider")?,
            model: row.try_get("model")?,
            currency: row.try_get("currency")?,
            input: number("input_per_1k")?,
            output: number("output_per_1k")?,
            cached_input: number_of("cached_input_per_1k")?,
            reasoning_output: number_of("reasoning_output_per_1k")?,
            version: row.try_get("pricing_version")?,
            is_active: flag(row, "active")?,
            updated_at: number("updated_at")?,
        })
    }
}

macro_rules! prices {
    ($rest:literal) => {
        concat!(
            "SELECT provider, model, currency, input_per_1k, output_per_1k, cached_input_per_1k, \
             reasoning_output_per_1k, pricing_version, active, updated_at FROM model_pricing ",
            $rest
        )
    };
}

#[async_trait]
impl Prices for SqlStore {
    async fn prices(&self) -> Result<Vec<ModelPrice>, StoreError> {
        Ok(sqlx::query_as(prices!("ORDER BY provider, model")).fetch_all(&self.read).await?)
    }

    async fn active_price(
        &self,
        provider: &str,
        model: &str,
    ) -> Result<Option<ModelPrice>, StoreError> {
        Ok(sqlx::query_as(prices!("WHERE provider = $1 AND model = $2 AND active = 1"))
            .bind(provider)
            .bind(model)
            .fetch_optional(&self.read)
            .await?)
    }

    async fn put_price(&self, price: &ModelPrice) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO model_pricing (provider, model, currency, input_per_1k, output_per_1k, \
             cached_input_per_1k, reasoning_output_per_1k, pricing_version, active, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10) ON CONFLICT (provider, model) DO UPDATE SET \
             currency = excluded.currency, input_per_1k = excluded.input_per_1k, \
             output_per_1k = excluded.output_per_1k, cached_input_per_1k = excluded.cached_input_per_1k, \
             reasoning_output_per_1k = excluded.reasoning_output_per_1k, \
             pricing_version = excluded.pricing_version, active = excluded.active, \
             updated_at = excluded.updated_at",
        )
        .bind(&price.provider)
        .bind(&price.model)
        .bind(&price.currency)
        .bind(ms(price.input))
        .bind(ms(price.output))
        .bind(price.cached_input.map(ms))
        .bind(price.reasoning_output.map(ms))
        .bind(&price.version)
        .bind(i64::from(price.is_active))
        .bind(ms(price.updated_at))
        .execute(tx.on())
        .await?;
        tx.commit().await
    }

    async fn delete_price(&self, provider: &str, model: &str) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let gone = sqlx::query("DELETE FROM model_pricing WHERE provider = $1 AND model = $2")
            .bind(provider)
            .bind(model)
            .execute(tx.on())
            .await?
            .rows_affected();
        tx.commit().await?;
        Ok(gone > 0)
    }
}
