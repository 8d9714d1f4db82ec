// A ThumbHash is some 25 bytes that show a picture while it loads: https://evanw.github.io/thumbhash/
const LONGEST = 16; // pixels; the finest wave has three periods

// Returns the pixels of a hash in base64, at most 16 in each direction. What is missing of it counts as zero.
export function decoded(hash) {
  const bytes = Uint8Array.from(atob(hash), (each) => each.charCodeAt(0));
  const head = bytes[0] | (bytes[1] << 8) | (bytes[2] << 16);
  const tail = bytes[3] | (bytes[4] << 8);
  const hasAlpha = head >> 23;
  const sides = [tail & 7, hasAlpha ? 5 : 7];
  if (tail >> 15) sides.reverse();
  const [width, height] = sides.map((side) => Math.max(1, Math.round((LONGEST * side) / Math.max(...sides))));
  let at = hasAlpha ? 12 : 10; // half bytes

  // Reads the waves of a channel; returns its value at a place of the picture, 0 to 1 in each direction.
  function channel(mean, scale, columns, rows) {
    const waves = [];
    for (let down = 0; down < rows; down++) {
      for (let across = down ? 0 : 1; across * rows < columns * (rows - down); across++) {
        const half = (bytes[at >> 1] >> (4 * (at++ & 1))) & 15;
        waves.push([across * Math.PI, down * Math.PI, 2 * scale * (half / 7.5 - 1)]);
      }
    }
    return (x, y) => {
      let sum = mean;
      for (const wave of waves) sum += wave[2] * Math.cos(wave[0] * x) * Math.cos(wave[1] * y);
      return sum;
    };
  }

  const [columns, rows] = sides.map((side) => Math.max(3, side));
  const light = channel((head & 63) / 63, ((head >> 18) & 31) / 31, columns, rows);
  const yellow = channel(((head >> 6) & 63) / 31.5 - 1, ((tail >> 3) & 63) / 63, 3, 3);
  const red = channel(((head >> 12) & 63) / 31.5 - 1, ((tail >> 9) & 63) / 63, 3, 3);
  const alpha = hasAlpha ? channel((bytes[5] & 15) / 15, (bytes[5] >> 4) / 15, 5, 5) : () => 1;
  const data = new Uint8ClampedArray(width * height * 4);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const x = ((pixel % width) + 0.5) / width;
    const y = (Math.floor(pixel / width) + 0.5) / height;
    const [l, tint] = [light(x, y), red(x, y)];
    const b = l - (2 / 3) * yellow(x, y);
    const r = (3 * l - b + tint) / 2;
    data.set([255 * r, 255 * (r - tint), 255 * b, 255 * alpha(x, y)], pixel * 4);
  }
  return { width, height, data };
}
