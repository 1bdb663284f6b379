/**
 * Times of the data plane's clock as times of day. How far the two are apart is looked at once a second, so that times close to
 * each other keep their order and a clock that is set is followed.
 */

const SECOND = 1000

/**
 * @param monotonic milliseconds on the data plane's clock, now
 * @param today milliseconds since 1970, now
 * @returns milliseconds since 1970, whole, of a time on the data plane's clock
 */
export const createWallClock = (monotonic: () => number, today: () => number = Date.now): ((time: number) => number) => {
  let offset = 0
  let checked = -Infinity
  return (time) => {
    if (Math.abs(time - checked) >= SECOND) {
      offset = today() - monotonic()
      checked = time
    }
    return Math.round(time + offset)
  }
}
