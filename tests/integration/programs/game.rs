//! A game of entities in a world, which has a grid of who is near; an entity that dies stays in its cell.

use refscope::sync::Arc;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};

struct Entity {
    id: u32,
    health: AtomicI32,
    mesh: Arc<Mesh>,
}

struct Mesh {
    triangles: Vec<[u16; 3]>,
}

#[derive(Default)]
struct World {
    entities: HashMap<u32, Arc<Entity>>,
    grid: HashMap<(i32, i32), Vec<Arc<Entity>>>,
    next: u32,
}

impl World {
    fn spawn(&mut self, at: (i32, i32), mesh: &Arc<Mesh>) -> u32 {
        self.next += 1;
        let entity =
            Arc::new(Entity { id: self.next, health: AtomicI32::new(3), mesh: Arc::clone(mesh) });
        self.entities.insert(entity.id, entity);
        self.place(self.next, at);
        self.next
    }

    fn place(&mut self, id: u32, at: (i32, i32)) {
        self.grid.values_mut().for_each(|near| near.retain(|entity| entity.id != id));
        let entity = &self.entities[&id];
        self.grid.entry(at).or_default().push(entity.clone()); // <- FAULT
    }

    fn hit_all(&mut self) {
        for entity in self.entities.values() {
            entity.health.fetch_sub(1, Ordering::Relaxed);
        }
        self.entities.retain(|_, entity| entity.health.load(Ordering::Relaxed) > 0);
    }

    fn triangles(&self) -> usize {
        self.entities.values().map(|entity| entity.mesh.triangles.len()).sum()
    }
}

static WORLD: Mutex<Option<World>> = Mutex::new(None);

pub(super) fn run() {
    let mut world = WORLD.lock().unwrap();
    let world = world.get_or_insert_default();
    for wave in 0..4 {
        let mesh = Arc::new(Mesh { triangles: vec![[0, 1, 2]; 12] });
        for n in 0..10 {
            let id = world.spawn((wave, n), &mesh);
            world.place(id, (wave + 1, n));
        }
        assert_eq!(world.triangles(), 120);
        (0..3).for_each(|_| world.hit_all());
    }
    assert!(world.entities.is_empty());
}
