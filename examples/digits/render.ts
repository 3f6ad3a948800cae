import { deriveSeed, type HostTensor, Random } from 'lockstep';
import { glyphHeight, glyphs, glyphWidth, type Point, type Stroke } from './strokes.js';

const size = 28;
/** Straight pieces between two control points of a smooth stroke. */
const piecesPerSpan = 5;

type MutablePoint = [x: number, y: number];

/**
 * Draws handwritten digits: images uint8[count, 28, 28, 1] (0 is paper, 255 full ink) and labels uint8[count].
 * Image `i` depends on `seed` and `i` alone, so any process draws the same bytes, and a longer set begins
 * with a shorter one.
 */
export function renderDigits({ count, seed }: { count: number; seed: number }): {
  images: HostTensor;
  labels: HostTensor;
} {
  const images = new Uint8Array(count * size * size);
  const labels = new Uint8Array(count);
  const ink = new Float64Array(size * size);
  for (let i = 0; i < count; i++) {
    const random = new Random(deriveSeed(seed, 'digits', i));
    labels[i] = random.below(10);
    ink.fill(0);
    drawDigit(ink, labels[i], random);
    develop(ink, images.subarray(i * size * size, (i + 1) * size * size), random);
  }
  return {
    images: { dtype: 'uint8', shape: [count, size, size, 1], data: images },
    labels: { dtype: 'uint8', shape: [count], data: labels },
  };
}

function drawDigit(ink: Float64Array, digit: number, random: Random): void {
  const variants = glyphs[digit];
  const strokes = variants[random.below(variants.length)];
  const place = handwriting(random);
  const halfWidth = between(random, 0.8, 1.6);
  for (const stroke of strokes) {
    const path = trace(jitter(stroke, 0.4, random)).map(place);
    drawPath(ink, path, halfWidth * between(random, 0.9, 1.1));
  }
  const smudges = random.below(2);
  for (let i = 0; i < smudges; i++) drawSmudge(ink, random);
}

/** One writer's hand: size, slant, rotation, a slow wobble of the pen, and where on the paper. */
function handwriting(random: Random): (point: Point) => MutablePoint {
  const height = between(random, 15, 20);
  const scaleY = height / glyphHeight;
  const scaleX = scaleY * between(random, 0.8, 1.15);
  const slant = clamped(random.normal() * 0.17, 0.45);
  const angle = clamped(random.normal() * 0.13, 0.35);
  const cos = Math.cos(angle);
  const sin = Math.sin(angle);
  const centerX = size / 2 + between(random, -2.3, 2.3);
  const centerY = size / 2 + between(random, -2.3, 2.3);
  const wobble = between(random, 0.2, 0.9);
  const phaseX = between(random, 0, 2 * Math.PI);
  const phaseY = between(random, 0, 2 * Math.PI);
  const waves = between(random, 0.3, 0.6);
  return ([x, y]) => {
    const up = (y - glyphHeight / 2) * scaleY;
    const across = (x - glyphWidth / 2) * scaleX - slant * up;
    return [
      centerX + cos * across - sin * up + wobble * Math.sin(phaseX + waves * up),
      centerY + sin * across + cos * up + wobble * Math.sin(phaseY + waves * across),
    ];
  };
}

function jitter(stroke: Stroke, deviation: number, random: Random): Stroke {
  return {
    smooth: stroke.smooth,
    points: stroke.points.map(
      ([x, y]): Point => [
        x + clamped(random.normal() * deviation, 2 * deviation),
        y + clamped(random.normal() * deviation, 2 * deviation),
      ],
    ),
  };
}

/** The stroke as a polyline; smooth ones by the uniform Catmull–Rom spline (1974). */
function trace({ smooth, points }: Stroke): readonly Point[] {
  if (!smooth) return points;
  const path: MutablePoint[] = [];
  const last = points.length - 1;
  for (let span = 0; span < last; span++) {
    const before = points[Math.max(span - 1, 0)];
    const from = points[span];
    const to = points[span + 1];
    const after = points[Math.min(span + 2, last)];
    for (let piece = 0; piece < piecesPerSpan; piece++) {
      const t = piece / piecesPerSpan;
      path.push([
        catmullRom(before[0], from[0], to[0], after[0], t),
        catmullRom(before[1], from[1], to[1], after[1], t),
      ]);
    }
  }
  path.push([...points[last]]);
  return path;
}

function catmullRom(before: number, from: number, to: number, after: number, t: number): number {
  const slope = to - before;
  const square = 2 * before - 5 * from + 4 * to - after;
  const cube = 3 * (from - to) + after - before;
  return from + 0.5 * t * (slope + t * (square + t * cube));
}

/** Inks a polyline, anti-aliased: a pixel's ink falls from 1 to 0 over one pixel at the edge of the line. */
function drawPath(ink: Float64Array, path: readonly Point[], halfWidth: number): void {
  const reach = halfWidth + 0.5;
  for (let i = 1; i < path.length; i++) {
    const [x0, y0] = path[i - 1];
    const [x1, y1] = path[i];
    const dx = x1 - x0;
    const dy = y1 - y0;
    const lengthSquared = dx * dx + dy * dy;
    const left = Math.max(0, Math.floor(Math.min(x0, x1) - reach));
    const right = Math.min(size - 1, Math.ceil(Math.max(x0, x1) + reach));
    const top = Math.max(0, Math.floor(Math.min(y0, y1) - reach));
    const bottom = Math.min(size - 1, Math.ceil(Math.max(y0, y1) + reach));
    for (let y = top; y <= bottom; y++) {
      for (let x = left; x <= right; x++) {
        const px = x + 0.5 - x0;
        const py = y + 0.5 - y0;
        const along = lengthSquared === 0 ? 0 : Math.min(1, Math.max(0, (px * dx + py * dy) / lengthSquared));
        const ex = px - along * dx;
        const ey = py - along * dy;
        const coverage = Math.min(1, reach - Math.sqrt(ex * ex + ey * ey));
        if (coverage > ink[y * size + x]) ink[y * size + x] = coverage;
      }
    }
  }
}

/** A short stray stroke: what a neighbouring word or a slip of the pen leaves. */
function drawSmudge(ink: Float64Array, random: Random): void {
  const x = between(random, 0, size);
  const y = between(random, 0, size);
  const angle = between(random, 0, 2 * Math.PI);
  const length = between(random, 2, 5);
  const end: Point = [x + length * Math.cos(angle), y + length * Math.sin(angle)];
  drawPath(ink, [[x, y], end], between(random, 0.3, 0.8));
}

/** Turns ink into bytes: pressure of the pen, and grain on ink and paper. */
function develop(ink: Float64Array, pixels: Uint8Array, random: Random): void {
  const pressure = between(random, 150, 255);
  const grain = between(random, 3, 14);
  for (let i = 0; i < pixels.length; i++) {
    const value = ink[i] * pressure + random.normal() * grain;
    pixels[i] = Math.min(255, Math.max(0, Math.round(value)));
  }
}

function between(random: Random, low: number, high: number): number {
  return low + (high - low) * random.next();
}

function clamped(value: number, limit: number): number {
  return Math.min(limit, Math.max(-limit, value));
}
