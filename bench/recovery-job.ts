/** The demo's job, saved every few steps: what bench/recovery.ts kills. */
import { defineJob } from 'lockstep';
import job from '../examples/digits/job.js';

export default defineJob({ ...job, callbacks: [], checkpoint: { everySteps: 5 }, epochs: 1_000 });
