import { register } from 'node:module';

// To be loaded before tsx: plants a bug in one of the product's files while it is loaded, as LOCKSTEP_PLANTED_BUG says.
register('./plant-hooks.mjs', import.meta.url, {
  data: JSON.parse(process.env.LOCKSTEP_PLANTED_BUG ?? '{}'),
});
