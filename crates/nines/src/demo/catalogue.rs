//! What is on the shelf.

use super::picture::Shape;

/// A product.
pub(super) struct Product {
    /// Its name in URLs.
    pub(super) id: &'static str,
    /// Its name for people.
    pub(super) name: &'static str,
    /// A few words about it.
    pub(super) line: &'static str,
    /// A few more.
    pub(super) text: &'static str,
    /// In cents of a Euro.
    pub(super) price_cents: u32,
    /// What it looks like.
    pub(super) shape: Shape,
}

/// The product with this id.
pub(super) fn find(id: &str) -> Option<&'static Product> {
    PRODUCTS.iter().find(|product| product.id == id)
}

/// Up to `count` others, those that stand next to it first.
pub(super) fn others(product: &Product, count: usize) -> impl Iterator<Item = &'static Product> {
    let at = PRODUCTS.iter().position(|each| each.id == product.id).unwrap_or(0);
    (1..PRODUCTS.len()).map(move |step| &PRODUCTS[(at + step) % PRODUCTS.len()]).take(count)
}

/// Products whose texts have every word of the query.
pub(super) fn search(query: &str) -> impl Iterator<Item = &'static Product> {
    let words: Vec<String> = query.split_whitespace().map(str::to_lowercase).collect();
    PRODUCTS.iter().filter(move |product| {
        let text = [product.name, product.line, product.text].join(" ").to_lowercase();
        words.iter().all(|word| text.contains(word))
    })
}

const CHALK: &str = "#ede6d6";
const SAND: &str = "#c9a67a";
const CLAY: &str = "#a4623f";
const CHAR: &str = "#4a4440";
const CELADON: &str = "#8fae96";
const COBALT: &str = "#35567f";
const SNOW: &str = "#f7f3ea";
const TENMOKU: &str = "#3b2a24";

/// All of them, in the order of the shelf.
pub(super) const PRODUCTS: [Product; 12] = [
    Product {
        id: "moon-jar",
        name: "Moon jar",
        line: "Round, and not quite",
        text: "Two bowls joined at the waist, as it has been done for three hundred years. The seam stays visible.",
        price_cents: 18_900,
        shape: Shape {
            height: 240.0,
            profile: &[52.0, 98.0, 117.0, 123.0, 118.0, 99.0, 56.0, 56.0],
            handle: None,
            clay: CHALK,
            glaze: SNOW,
            glazed: 0.72,
        },
    },
    Product {
        id: "breakfast-bowl",
        name: "Breakfast bowl",
        line: "For porridge and bad news",
        text: "Wide enough for fruit, deep enough for soup, heavy enough to stay where it is.",
        price_cents: 2_800,
        shape: Shape {
            height: 110.0,
            profile: &[46.0, 78.0, 104.0, 118.0, 124.0],
            handle: None,
            clay: SAND,
            glaze: CELADON,
            glazed: 0.6,
        },
    },
    Product {
        id: "everyday-mug",
        name: "Everyday mug",
        line: "A third of a litre",
        text: "A straight wall, a handle for three fingers and a rim that is kind to the lip.",
        price_cents: 2_400,
        shape: Shape {
            height: 150.0,
            profile: &[64.0, 70.0, 72.0, 71.0, 70.0],
            handle: Some(CLAY),
            clay: CLAY,
            glaze: CHALK,
            glazed: 0.66,
        },
    },
    Product {
        id: "heron-vase",
        name: "Heron vase",
        line: "Tall, with a long neck",
        text: "For one branch in winter, or for nothing at all. Stands firmer than it looks.",
        price_cents: 9_600,
        shape: Shape {
            height: 270.0,
            profile: &[48.0, 74.0, 86.0, 78.0, 48.0, 26.0, 24.0, 34.0],
            handle: None,
            clay: CHAR,
            glaze: COBALT,
            glazed: 0.55,
        },
    },
    Product {
        id: "tea-bowl",
        name: "Tea bowl",
        line: "Held with both hands",
        text: "Thick walls that keep the tea hot and the fingers warm. The glaze runs where it wants to.",
        price_cents: 5_200,
        shape: Shape {
            height: 120.0,
            profile: &[40.0, 70.0, 84.0, 88.0, 86.0],
            handle: None,
            clay: CLAY,
            glaze: TENMOKU,
            glazed: 0.7,
        },
    },
    Product {
        id: "milk-jug",
        name: "Milk jug",
        line: "Pours without a drop",
        text: "A belly, a shoulder and a spout that knows when to stop. Holds half a litre.",
        price_cents: 4_400,
        shape: Shape {
            height: 190.0,
            profile: &[56.0, 78.0, 86.0, 74.0, 56.0, 60.0],
            handle: Some(COBALT),
            clay: CHALK,
            glaze: COBALT,
            glazed: 0.4,
        },
    },
    Product {
        id: "serving-plate",
        name: "Serving plate",
        line: "Flat, wide, patient",
        text: "Forty centimetres for bread, fish or keys. The foot is turned so that it can hang on a wall.",
        price_cents: 6_800,
        shape: Shape {
            height: 48.0,
            profile: &[70.0, 110.0, 140.0, 152.0],
            handle: None,
            clay: SAND,
            glaze: SNOW,
            glazed: 0.85,
        },
    },
    Product {
        id: "bud-vase",
        name: "Bud vase",
        line: "For a single stem",
        text: "Small enough for a window sill, and never tips over. Comes from the ends of larger pots.",
        price_cents: 1_900,
        shape: Shape {
            height: 170.0,
            profile: &[40.0, 62.0, 68.0, 54.0, 26.0, 18.0, 22.0],
            handle: None,
            clay: SAND,
            glaze: CLAY,
            glazed: 0.5,
        },
    },
    Product {
        id: "espresso-cup",
        name: "Espresso cup",
        line: "Two sips",
        text: "Thick at the foot and thin at the rim, so that the coffee stays hot and the talk short.",
        price_cents: 1_600,
        shape: Shape {
            height: 100.0,
            profile: &[36.0, 50.0, 56.0, 58.0],
            handle: Some(CHAR),
            clay: CHAR,
            glaze: CHALK,
            glazed: 0.6,
        },
    },
    Product {
        id: "planter",
        name: "Planter",
        line: "For roots that stay",
        text: "Unglazed below, so that the soil can breathe. There is a hole, and a saucer hides it.",
        price_cents: 5_600,
        shape: Shape {
            height: 190.0,
            profile: &[78.0, 92.0, 102.0, 108.0, 112.0, 116.0],
            handle: None,
            clay: CLAY,
            glaze: CELADON,
            glazed: 0.3,
        },
    },
    Product {
        id: "oil-bottle",
        name: "Oil bottle",
        line: "Narrow and slow",
        text: "A neck that pours a thread, not a flood. The cork is from an oak that did not mind.",
        price_cents: 3_900,
        shape: Shape {
            height: 230.0,
            profile: &[58.0, 68.0, 70.0, 64.0, 34.0, 22.0, 20.0, 28.0],
            handle: None,
            clay: CHALK,
            glaze: CELADON,
            glazed: 0.62,
        },
    },
    Product {
        id: "storage-jar",
        name: "Storage jar",
        line: "Keeps what it is given",
        text: "For salt, flour or letters. Straight sides, a strong shoulder, and a mouth that a hand fits into.",
        price_cents: 7_200,
        shape: Shape {
            height: 210.0,
            profile: &[78.0, 96.0, 102.0, 104.0, 98.0, 74.0, 70.0],
            handle: None,
            clay: CHAR,
            glaze: TENMOKU,
            glazed: 0.64,
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_product_can_be_found_by_an_id_of_its_own() {
        let ids: BTreeSet<&str> = PRODUCTS.iter().map(|product| product.id).collect();
        assert_eq!(ids.len(), PRODUCTS.len());
        for product in &PRODUCTS {
            assert_eq!(find(product.id).unwrap().name, product.name);
            // An id stands in URLs and in the cart's cookie as it is.
            assert!(
                product.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'),
                "{}",
                product.id
            );
            assert!(others(product, 4).all(|other| other.id != product.id));
        }
        assert!(find("nothing").is_none());
    }

    #[test]
    fn a_search_finds_what_has_every_word_in_any_case() {
        let found = |query: &str| search(query).map(|product| product.id).collect::<Vec<_>>();
        assert_eq!(found("TEA bowl"), ["tea-bowl"]);
        assert_eq!(found("vase"), ["heron-vase", "bud-vase"]);
        assert!(found("teapot").is_empty());
        assert_eq!(found("").len(), PRODUCTS.len());
    }
}
