//! Where boxes go: in columns by their rank, in each column in an order with few crossings, each at
//! the height of its neighbours as far as the others leave room.
//!
//! The steps are those of layered drawing (K. Sugiyama, S. Tagawa, M. Toda, "Methods for Visual
//! Understanding of Hierarchical System Structures", 1981): rank by the longest path, order by
//! barycentre. Heights are the nearest ones that keep the order, by isotonic regression.

/// Between columns, where the edges bend; wider where one is high, so that they are not too steep.
const COLUMN_GAP: f64 = 56.0;
const WIDEST_GAP: f64 = 150.0;
const PER_ROW: f64 = 5.0;
const ROW_GAP: f64 = 14.0;
/// Room for an edge that passes a column.
const PASSING: f64 = 4.0;
const SWEEPS: usize = 12;

/// A box to be placed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub(super) width: f64,
    pub(super) height: f64,
    /// Below its upper side, where edges come in on the left and go out on the right.
    pub(super) port: (f64, f64),
}

/// Where everything is; the upper left corner of all is at 0, 0.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    /// The upper left corner of each item.
    pub(super) corners: Vec<(f64, f64)>,
    /// Each edge as pairs of points: straight within a pair, bent from one pair to the next.
    pub(super) routes: Vec<Vec<[(f64, f64); 2]>>,
}

/// An item, or an edge that passes, in a column.
#[derive(Debug, Clone, Copy)]
struct Cell {
    item: Option<usize>,
    height: f64,
    port: (f64, f64),
    top: f64,
}

struct Columns {
    cells: Vec<Cell>,
    /// The cells of each column from top to bottom.
    columns: Vec<Vec<usize>>,
    /// From a cell to one in the next column.
    links: Vec<(usize, usize)>,
    /// The cells of each edge.
    paths: Vec<Vec<usize>>,
}

/// Places `items` whose `edges` have no cycle; `last` goes into the last column.
pub(super) fn place(items: &[Item], edges: &[(usize, usize)], last: Option<usize>) -> Layout {
    let mut ranks = ranks(items.len(), edges);
    if let Some(last) = last {
        ranks[last] = ranks.iter().copied().max().unwrap_or(0);
    }
    let mut columns = Columns::new(items, edges, &ranks);
    columns.order();
    columns.set_heights();
    columns.layout(items, &ranks)
}

/// The longest way to each item, in edges.
fn ranks(items: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut ranks = vec![0; items];
    let mut waiting = vec![0_usize; items];
    for (_, to) in edges {
        waiting[*to] += 1;
    }
    let mut free: Vec<usize> = (0..items).filter(|item| waiting[*item] == 0).collect();
    while let Some(item) = free.pop() {
        for (_, to) in edges.iter().filter(|(from, _)| *from == item) {
            ranks[*to] = ranks[*to].max(ranks[item] + 1);
            waiting[*to] -= 1;
            if waiting[*to] == 0 {
                free.push(*to);
            }
        }
    }
    ranks
}

impl Columns {
    fn new(items: &[Item], edges: &[(usize, usize)], ranks: &[usize]) -> Self {
        let count = ranks.iter().max().map_or(0, |rank| rank + 1);
        let mut all = Self {
            cells: Vec::new(),
            columns: vec![Vec::new(); count],
            links: Vec::new(),
            paths: Vec::new(),
        };
        for (index, item) in items.iter().enumerate() {
            all.add(ranks[index], Some(index), item.height, item.port);
        }
        for (from, to) in edges {
            let mut path = vec![*from];
            for rank in ranks[*from] + 1..ranks[*to] {
                path.push(all.add(rank, None, PASSING, (PASSING / 2.0, PASSING / 2.0)));
            }
            path.push(*to);
            all.links
                .extend(path.windows(2).map(|pair| (pair[0], pair[1])));
            all.paths.push(path);
        }
        all
    }

    fn add(&mut self, rank: usize, item: Option<usize>, height: f64, port: (f64, f64)) -> usize {
        let cell = self.cells.len();
        self.cells.push(Cell {
            item,
            height,
            port,
            top: 0.0,
        });
        self.columns[rank].push(cell);
        cell
    }

    /// Each cell's neighbours in the column before, or behind.
    fn neighbours(&self, before: bool) -> Vec<Vec<usize>> {
        let mut neighbours = vec![Vec::new(); self.cells.len()];
        for (from, to) in &self.links {
            let (of, is) = if before { (to, from) } else { (from, to) };
            neighbours[*of].push(*is);
        }
        neighbours
    }

    /// Sorts each column by where its cells' neighbours are, forth and back, and keeps the best.
    fn order(&mut self) {
        let sides = [self.neighbours(true), self.neighbours(false)];
        let mut best = (self.crossings(), self.columns.clone());
        for sweep in 0..SWEEPS {
            let forth = sweep % 2 == 0;
            let mut ranks: Vec<usize> = (0..self.columns.len()).collect();
            if !forth {
                ranks.reverse();
            }
            for rank in ranks {
                let places = self.places();
                let neighbours = &sides[usize::from(!forth)];
                let centre = |cell: &usize| mean(neighbours[*cell].iter().map(|n| places[*n]));
                let mut column: Vec<(f64, usize)> = self.columns[rank]
                    .iter()
                    .map(|cell| (centre(cell).unwrap_or(places[*cell]), *cell))
                    .collect();
                column.sort_by(|a, b| a.0.total_cmp(&b.0));
                self.columns[rank] = column.into_iter().map(|(_, cell)| cell).collect();
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.columns.clone());
            }
        }
        self.columns = best.1;
    }

    /// How far down each cell is in its column, counted in cells from its middle.
    fn places(&self) -> Vec<f64> {
        let mut places = vec![0.0; self.cells.len()];
        for column in &self.columns {
            for (place, cell) in column.iter().enumerate() {
                places[*cell] = place as f64 - (column.len() as f64 - 1.0) / 2.0;
            }
        }
        places
    }

    fn crossings(&self) -> usize {
        let places = self.places();
        let mut rank_of = vec![0; self.cells.len()];
        for (rank, column) in self.columns.iter().enumerate() {
            column.iter().for_each(|cell| rank_of[*cell] = rank);
        }
        let mut crossings = 0;
        for rank in 0..self.columns.len() {
            let mut ends: Vec<(f64, f64)> = self
                .links
                .iter()
                .filter(|(from, _)| rank_of[*from] == rank)
                .map(|(from, to)| (places[*from], places[*to]))
                .collect();
            ends.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
            for (index, (_, one)) in ends.iter().enumerate() {
                crossings += ends[index + 1..]
                    .iter()
                    .filter(|(_, other)| other < one)
                    .count();
            }
        }
        crossings
    }

    /// Brings each cell as near to its neighbours' height as its column allows, forth and back.
    fn set_heights(&mut self) {
        let (before, behind) = (self.neighbours(true), self.neighbours(false));
        for column in &self.columns {
            let heights = column.iter().map(|cell| self.cells[*cell].height + ROW_GAP);
            let mut top = -heights.sum::<f64>() / 2.0;
            for cell in column {
                self.cells[*cell].top = top;
                top += self.cells[*cell].height + ROW_GAP;
            }
        }
        for _ in 0..SWEEPS / 2 {
            for rank in 1..self.columns.len() {
                self.settle(rank, |cells, cell| {
                    let ports = before[cell]
                        .iter()
                        .map(|n| cells[*n].top + cells[*n].port.1);
                    mean(ports).map(|port| port - cells[cell].port.0)
                });
            }
            for rank in (0..self.columns.len().saturating_sub(1)).rev() {
                self.settle(rank, |cells, cell| {
                    let ports = behind[cell]
                        .iter()
                        .map(|n| cells[*n].top + cells[*n].port.0);
                    mean(ports).map(|port| port - cells[cell].port.1)
                });
            }
        }
    }

    /// Puts the cells of a column where they want to be, moved as little as their order asks for.
    fn settle(&mut self, rank: usize, wanted: impl Fn(&[Cell], usize) -> Option<f64>) {
        let column = &self.columns[rank];
        let mut offsets = Vec::with_capacity(column.len());
        let mut offset = 0.0;
        for cell in column {
            offsets.push(offset);
            offset += self.cells[*cell].height + ROW_GAP;
        }
        let tops = column.iter().zip(&offsets).map(|(cell, offset)| {
            let kept = self.cells[*cell].top;
            wanted(&self.cells, *cell).unwrap_or(kept) - offset
        });
        let tops = rising(tops);
        for ((cell, offset), top) in column.iter().zip(&offsets).zip(tops) {
            self.cells[*cell].top = top + offset;
        }
    }

    fn gap_before(&self, rank: usize) -> f64 {
        let rows = self.columns[rank].len().max(self.columns[rank - 1].len());
        (COLUMN_GAP + PER_ROW * rows.saturating_sub(4) as f64).min(WIDEST_GAP)
    }

    fn layout(&self, items: &[Item], ranks: &[usize]) -> Layout {
        let mut widths = vec![0.0_f64; self.columns.len()];
        for (item, rank) in items.iter().zip(ranks) {
            widths[*rank] = widths[*rank].max(item.width);
        }
        let mut lefts = vec![0.0; self.columns.len()];
        for rank in 1..self.columns.len() {
            lefts[rank] = lefts[rank - 1] + widths[rank - 1] + self.gap_before(rank);
        }
        let highest = self
            .cells
            .iter()
            .map(|cell| cell.top)
            .fold(f64::INFINITY, f64::min);
        let highest = if highest.is_finite() { highest } else { 0.0 };
        let lowest = self.cells.iter().map(|cell| cell.top + cell.height);
        let corners: Vec<(f64, f64)> = items
            .iter()
            .enumerate()
            .map(|(index, item)| {
                let rank = ranks[index];
                let left = lefts[rank] + (widths[rank] - item.width) / 2.0;
                (left, self.cells[index].top - highest)
            })
            .collect();
        let sides = |cell: usize, rank: usize| {
            let (left, right) = match self.cells[cell].item {
                Some(item) => (corners[item].0, corners[item].0 + items[item].width),
                None => (lefts[rank], lefts[rank] + widths[rank]),
            };
            let (top, port) = (self.cells[cell].top - highest, self.cells[cell].port);
            ((left, top + port.0), (right, top + port.1))
        };
        let route = |path: &Vec<usize>| {
            let first = ranks[path[0]];
            let end = path.len() - 1;
            let pairs = path.iter().enumerate().map(|(step, cell)| {
                let rank = first + step;
                let (coming, going) = sides(*cell, rank);
                if step == 0 {
                    [going, (lefts[rank] + widths[rank], going.1)]
                } else if step == end {
                    [(lefts[rank], coming.1), coming]
                } else {
                    [coming, going]
                }
            });
            pairs.collect()
        };
        Layout {
            width: lefts.last().copied().unwrap_or(0.0) + widths.last().copied().unwrap_or(0.0),
            height: lowest.fold(0.0, f64::max).max(highest) - highest,
            routes: self.paths.iter().map(route).collect(),
            corners,
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// The nearest values (least squares) of which none is below the one before: isotonic regression by
/// pooling adjacent violators.
fn rising(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for value in values {
        let mut pool = (value, 1);
        while let Some((before, count)) = pools.pop_if(|(before, _)| *before > pool.0) {
            let together = count + pool.1;
            let mean = (before * count as f64 + pool.0 * pool.1 as f64) / together as f64;
            pool = (mean, together);
        }
        pools.push(pool);
    }
    let spread = pools.into_iter();
    spread
        .flat_map(|(value, count)| std::iter::repeat_n(value, count))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(height: f64) -> Item {
        Item {
            width: 100.0,
            height,
            port: (height / 2.0, height / 2.0),
        }
    }

    #[test]
    fn values_that_fall_are_levelled_and_others_kept() {
        assert_eq!(
            rising([1.0, 3.0, 2.0, 2.0, 5.0].into_iter()),
            [1.0, 7.0 / 3.0, 7.0 / 3.0, 7.0 / 3.0, 5.0]
        );
        assert_eq!(rising([3.0, 2.0, 1.0].into_iter()), [2.0, 2.0, 2.0]);
    }

    #[test]
    fn no_two_boxes_overlap_and_edges_lead_to_the_right() {
        let items: Vec<Item> = (0..22)
            .map(|n| item(30.0 + f64::from(n % 4) * 8.0))
            .collect();
        let mut edges: Vec<(usize, usize)> = (1..21).flat_map(|n| [(0, n), (n, 21)]).collect();
        edges.extend([(0, 21), (3, 7), (7, 11), (2, 15)]);
        let layout = place(&items, &edges, None);
        for (one, a) in layout.corners.iter().enumerate() {
            for (other, b) in layout.corners.iter().enumerate().skip(one + 1) {
                let apart = a.0 + 100.0 <= b.0
                    || b.0 + 100.0 <= a.0
                    || a.1 + items[one].height <= b.1
                    || b.1 + items[other].height <= a.1;
                assert!(apart, "{one} at {a:?} and {other} at {b:?}");
            }
            assert!(a.0 + 100.0 <= layout.width && a.1 + items[one].height <= layout.height + 1e-6);
            assert!(a.0 >= 0.0 && a.1 >= -1e-6);
        }
        for route in &layout.routes {
            let points: Vec<f64> = route.iter().flatten().map(|point| point.0).collect();
            assert!(points.is_sorted(), "{points:?}");
        }
    }

    #[test]
    fn what_comes_before_is_level_with_the_middle_of_what_follows() {
        let items: Vec<Item> = (0..22).map(|_| item(30.0)).collect();
        let edges: Vec<(usize, usize)> = (1..21).flat_map(|n| [(0, n), (n, 21)]).collect();
        let layout = place(&items, &edges, None);
        let middle = layout.height / 2.0 - 15.0;
        for ends in [0, 21] {
            assert!(
                (layout.corners[ends].1 - middle).abs() < 1.0,
                "{:?}",
                layout.corners[ends]
            );
        }
    }

    #[test]
    fn crossings_that_another_order_avoids_are_avoided() {
        let items: Vec<Item> = (0..6).map(|_| item(30.0)).collect();
        let edges = [(0, 5), (1, 4), (2, 3)];
        let ranks = ranks(items.len(), &edges);
        let mut columns = Columns::new(&items, &edges, &ranks);
        assert_eq!(columns.crossings(), 3);
        columns.order();
        assert_eq!(columns.crossings(), 0);
    }
}
