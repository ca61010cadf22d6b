//! Pictures of pots. A pot is a curve that was turned around an axis, and so is its picture.

use super::catalogue::{self, Product};
use super::{Shop, pages, tag};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use std::fmt::Write;
use std::sync::Arc;

/// Width and height of a picture.
const SIZE: f32 = 400.0;
/// The axis.
const MIDDLE: f32 = SIZE / 2.0;
/// Where pots stand.
const GROUND: f32 = 326.0;
/// How much of a circle is seen from the side: we look down on pots a little.
const TILT: f32 = 0.17;

/// What a product looks like.
pub(super) struct Shape {
    /// From the foot to the rim.
    pub(super) height: f32,
    /// Radii at even steps from the foot to the rim, in the picture's units.
    pub(super) profile: &'static [f32],
    /// The colour of its handle, if it has one.
    pub(super) handle: Option<&'static str>,
    /// The colour of the bare clay.
    pub(super) clay: &'static str,
    /// The colour of the glaze.
    pub(super) glaze: &'static str,
    /// How far down the glaze reaches, as a share of the height.
    pub(super) glazed: f32,
}

/// `/img/{id}.svg`.
pub(super) async fn show(
    State(shop): State<Arc<Shop>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    match name.strip_suffix(".svg").and_then(catalogue::find) {
        Some(product) => tag::answer(&headers, "image/svg+xml", "public, max-age=3600", draw(product)),
        None => pages::missing(&shop, &headers, "no such picture"),
    }
}

/// A picture of a product: the same one every time, on every instance.
fn draw(product: &Product) -> String {
    let Shape { height, profile, handle, clay, glaze, glazed } = product.shape;
    let (foot, rim) = (profile.first().copied().unwrap_or(0.0), profile.last().copied().unwrap_or(0.0));
    let top = GROUND - height;
    let (rim_y, inside) = (rim * TILT, rim - 5.0);
    let body = outline(profile, height);
    let (drip, specks) = (drip(top, height * glazed), specks(product.id, top, height));
    let handle = handle.map(|colour| handle_of(profile, height, colour)).unwrap_or_default();
    // The curve goes a little beyond its points.
    let half = widest(profile) + 6.0;
    let (shadow, shadow_y) = (foot * 1.9, foot * TILT * 1.7);
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 400" width="400" height="400">
<defs>
<linearGradient id="wall" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="#efe9df"/><stop offset="1" stop-color="#e2d8c9"/></linearGradient>
<linearGradient id="light" x1="0" y1="0" x2="1" y2="0"><stop offset="0" stop-color="#000" stop-opacity=".34"/><stop offset=".28" stop-color="#fff" stop-opacity=".22"/><stop offset=".52" stop-color="#fff" stop-opacity="0"/><stop offset="1" stop-color="#000" stop-opacity=".42"/></linearGradient>
<radialGradient id="shadow"><stop offset="0" stop-color="#3a2c1e" stop-opacity=".5"/><stop offset="1" stop-color="#3a2c1e" stop-opacity="0"/></radialGradient>
<clipPath id="pot"><path d="{body}"/></clipPath>
</defs>
<rect width="400" height="400" fill="url(#wall)"/>
<rect y="300" width="400" height="100" fill="#d3c5b1"/>
<ellipse cx="212" cy="{GROUND}" rx="{shadow:.1}" ry="{shadow_y:.1}" fill="url(#shadow)"/>
{handle}
<g clip-path="url(#pot)">
<rect width="400" height="400" fill="{clay}"/>
<path d="{drip}" fill="{glaze}"/>
<path d="{specks}" stroke="#2b211a" stroke-opacity=".35" stroke-width="2.4" stroke-linecap="round" fill="none"/>
<rect x="{left:.1}" width="{width:.1}" height="400" fill="url(#light)"/>
</g>
<ellipse cx="200" cy="{top:.1}" rx="{rim:.1}" ry="{rim_y:.1}" fill="{glaze}"/>
<ellipse cx="200" cy="{top:.1}" rx="{rim:.1}" ry="{rim_y:.1}" fill="#fff" fill-opacity=".16"/>
<ellipse cx="200" cy="{inside_top:.1}" rx="{inside:.1}" ry="{inside_y:.1}" fill="#1d1511" fill-opacity=".62"/>
</svg>
"##,
        left = MIDDLE - half,
        width = half * 2.0,
        inside_top = top + 1.0,
        inside_y = inside * TILT,
    )
}

fn widest(profile: &[f32]) -> f32 {
    profile.iter().copied().fold(0.0, f32::max)
}

/// The points of one side, from the foot to the rim; `side` is 1 for the right one, -1 for the left one.
fn side(profile: &[f32], height: f32, side: f32) -> Vec<(f32, f32)> {
    let step = height / (profile.len().max(2) - 1) as f32;
    profile
        .iter()
        .zip(0u16..)
        .map(|(radius, at)| (MIDDLE + side * radius, GROUND - step * f32::from(at)))
        .collect()
}

/// Up the right side, over the back of the rim, down the left side, around the front of the foot.
fn outline(profile: &[f32], height: f32) -> String {
    let (right, mut left) = (side(profile, height, 1.0), side(profile, height, -1.0));
    left.reverse();
    let (Some(start), Some(over)) = (right.first(), left.first()) else { return String::new() };
    let (rim, foot) = (MIDDLE - over.0, start.0 - MIDDLE);
    let mut path = format!("M{:.1} {:.1}", start.0, start.1);
    curve(&mut path, &right);
    let _ = write!(path, "A{rim:.1} {:.1} 0 0 0 {:.1} {:.1}", rim * TILT, over.0, over.1);
    curve(&mut path, &left);
    let _ = write!(path, "A{foot:.1} {:.1} 0 0 0 {:.1} {:.1}Z", foot * TILT, start.0, start.1);
    path
}

/// A smooth curve through all points (Catmull-Rom, written as Bézier curves), beginning at the first.
fn curve(path: &mut String, points: &[(f32, f32)]) {
    let at = |index: usize| points[index.min(points.len() - 1)];
    for index in 1..points.len() {
        let (before, from, to, after) =
            (at(index.saturating_sub(2)), at(index - 1), at(index), at(index + 1));
        let (x1, y1) = (from.0 + (to.0 - before.0) / 6.0, from.1 + (to.1 - before.1) / 6.0);
        let (x2, y2) = (to.0 - (after.0 - from.0) / 6.0, to.1 - (after.1 - from.1) / 6.0);
        let _ = write!(path, "C{x1:.1} {y1:.1} {x2:.1} {y2:.1} {:.1} {:.1}", to.0, to.1);
    }
}

/// The glaze: everything above an edge that has run a little.
fn drip(top: f32, reach: f32) -> String {
    let edge = top + reach;
    format!(
        "M0 0H400V{:.1}Q350 {:.1} 300 {edge:.1}T200 {edge:.1}T100 {edge:.1}T0 {edge:.1}Z",
        edge - 6.0,
        edge + 16.0
    )
}

/// From the wall below the rim, out and back.
fn handle_of(profile: &[f32], height: f32, colour: &str) -> String {
    let points = side(profile, height, 1.0);
    let at = |share: f32| points[((points.len() - 1) as f32 * share).round() as usize];
    let (upper, lower) = (at(0.85), at(0.2));
    let out = upper.0.max(lower.0) + height * 0.34;
    let path = format!(
        "M{:.1} {:.1}C{out:.1} {:.1} {out:.1} {:.1} {:.1} {:.1}",
        upper.0 - 6.0,
        upper.1 + 4.0,
        upper.1 - 6.0,
        lower.1 + 6.0,
        lower.0 - 6.0,
        lower.1
    );
    let stroke =
        |colour: &str, width: u8| format!(r#"<path d="{path}" stroke="{colour}" stroke-width="{width}"/>"#);
    let (edge, light) = (stroke("#000\" stroke-opacity=\".3", 18), stroke("#fff\" stroke-opacity=\".12", 5));
    format!(
        r#"<g fill="none" stroke-linecap="round">{}{edge}{}{light}</g>"#,
        stroke(colour, 18),
        stroke(colour, 12)
    )
}

/// Iron in the clay: points that every pot has elsewhere, and always at the same places.
fn specks(id: &str, top: f32, height: f32) -> String {
    // A small generator of our own (xorshift), seeded by the name: no instance must draw another picture.
    let mut state =
        id.bytes().fold(0x9e37_79b9_u32, |state, byte| state.wrapping_mul(31) ^ u32::from(byte)) | 1;
    let mut share = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 24) as f32
    };
    let mut path = String::new();
    for _ in 0..46 {
        let _ =
            write!(path, "M{:.0} {:.0}h.1", 60.0 + 280.0 * share(), top + 8.0 + (height - 12.0) * share());
    }
    path
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::PRODUCTS;
    use super::*;

    #[test]
    fn every_pot_stands_within_its_picture() {
        for product in &PRODUCTS {
            let shape = &product.shape;
            assert!(
                GROUND - shape.height - shape.profile[shape.profile.len() - 1] * TILT > 10.0,
                "{}",
                product.id
            );
            assert!(
                widest(shape.profile) + shape.handle.map_or(0.0, |_| 60.0) < MIDDLE - 10.0,
                "{}",
                product.id
            );
        }
    }

    #[test]
    fn a_picture_holds_numbers_only_where_numbers_belong() {
        for product in &PRODUCTS {
            let svg = draw(product);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert_eq!(svg.matches('<').count(), svg.matches('>').count());
        }
    }
}
