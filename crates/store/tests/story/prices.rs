//! Prices of models.

use crate::databases::Place;
use toft_store::ModelPrice;

pub(crate) async fn priced(place: &Place) {
    let store = place.open().await;
    let seeded = store.active_price("openai", "gpt-5").await.unwrap().unwrap();
    assert_eq!(
        (seeded.input, seeded.output, seeded.cached_input),
        (10_000_000, 30_000_000, Some(1_000_000))
    );
    assert_eq!((seeded.version.as_str(), seeded.currency.as_str()), ("seed:v1", "USD"));
    assert_eq!(store.prices().await.unwrap().len(), 6);
    assert_eq!(store.active_price("openai", "gpt-6").await.unwrap(), None);
    let own = ModelPrice {
        provider: "openai".into(),
        model: "gpt-6".into(),
        reasoning_output: Some(7),
        cached_input: None,
        version: "mine".into(),
        updated_at: 9,
        ..seeded.clone()
    };
    store.put_price(&own).await.unwrap();
    assert_eq!(store.active_price("openai", "gpt-6").await.unwrap().as_ref(), Some(&own));
    store.put_price(&ModelPrice { is_active: false, ..own }).await.unwrap();
    assert_eq!(store.active_price("openai", "gpt-6").await.unwrap(), None);
    assert_eq!(store.prices().await.unwrap().len(), 7);
    assert!(store.delete_price("openai", "gpt-5").await.unwrap());
    assert!(!store.delete_price("openai", "gpt-5").await.unwrap());
    store.close().await;
}
