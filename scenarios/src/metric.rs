//! Numbers on a metrics page.

/// The sum of all series of this name that have all of these labels.
#[must_use]
pub fn sum(page: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let wanted: Vec<String> = (labels.iter())
        .map(|(label, value)| format!("{label}=\"{value}\""))
        .collect();
    let value = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once('}')?,
            None => ("", rest.strip_prefix(' ')?),
        };
        let has = |wanted: &String| labels.split(',').any(|label| label == wanted);
        let value = value.trim().parse::<f64>().ok()?;
        wanted.iter().all(has).then_some(value)
    };
    page.lines().filter_map(value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_found_by_their_whole_name_and_labels() {
        let page = "# HELP x_total x\n\
            x_total{type=\"EDS\",role=\"a\"} 3\n\
            x_total{type=\"EDS\",role=\"b\"} 4\n\
            x_total{type=\"CDS\",role=\"a\"} 5\n\
            x_total_more{type=\"EDS\"} 100\n\
            x_totals 1000\n\
            y 7\n";
        let of = |labels: &[(&str, &str)]| sum(page, "x_total", labels);
        assert_eq!(of(&[("type", "EDS")]).to_string(), "7");
        assert_eq!(of(&[("type", "EDS"), ("role", "b")]).to_string(), "4");
        assert_eq!(of(&[]).to_string(), "12");
        assert_eq!(sum(page, "y", &[]).to_string(), "7");
    }
}
