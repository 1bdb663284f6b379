import { afterEach, describe, expect, it } from 'vitest'
import { type Driven, Driver, type DriverOptions } from '../../../src/stack/sockets/driver.js'
import { native } from '../../../src/native.js'

/** Does what it is told, and writes down what is done to it. */
class Work implements Driven {
  readonly advanced: number[] = []
  next = Infinity
  pumps = 0
  /** What each pump returns, then 0. */
  counts: number[] = []
  onPump = (): void => {}
  onAdvance: (now: number) => void = () => {}

  advance(now: number): void {
    this.advanced.push(now)
    this.onAdvance(now)
  }

  pump(): number {
    this.pumps++
    this.onPump()
    return this.counts.shift() ?? 0
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('Driver', () => {
  const drivers: Driver[] = []
  let now = 0
  const drive = (work: Work, options: DriverOptions = {}): Driver => {
    now = 0
    const driver = new Driver(work, { clock: () => now, ...options })
    drivers.push(driver)
    return driver
  }
  afterEach(() => {
    for (const driver of drivers.splice(0)) driver.close()
  })

  it('looks at the clock before a socket is used, and pumps once afterwards', async () => {
    const work = new Work()
    const driver = drive(work)
    await turn()
    expect([work.advanced, work.pumps]).toEqual([[0, 0], 1])
    now = 5
    driver.attend()
    driver.attend()
    driver.wake()
    expect([work.advanced.slice(2), work.pumps]).toEqual([[5, 5], 1])
    await turn()
    expect(work.pumps).toBe(2)
  })

  it('goes on as long as there are packets, and lets others have their turn', async () => {
    const work = new Work()
    work.counts = Array.from({ length: 40 }, () => 3)
    drive(work)
    await turn()
    expect(work.pumps).toBeLessThan(40)
    for (let wait = 0; wait < 10; wait++) await turn()
    expect(work.pumps).toBe(41)
  })

  it('is not disturbed by what is caused in its own turn', async () => {
    const work = new Work()
    const driver = drive(work)
    work.onPump = () => {
      driver.attend()
      driver.wake()
    }
    work.onAdvance = () => driver.attend()
    await turn()
    await turn()
    expect(work.pumps).toBe(1)
  })

  it('comes back for what is due, also when that is moved to an earlier time', async () => {
    const work = new Work()
    work.next = 60_000
    const driver = drive(work)
    driver.hold()
    await turn()
    work.next = 1
    driver.wake()
    await turn()
    const fired = new Promise<void>((resolve) => (work.onAdvance = (at) => { if (at >= 1) resolve() }))
    now = 1
    work.next = Infinity
    await fired
    expect(work.advanced.at(-1)).toBe(1)
  })

  it('is called by a descriptor that becomes readable, again and again', async () => {
    const fd = native().eventOpen()
    const work = new Work()
    const driver = drive(work, { fd })
    driver.hold()
    await turn()
    for (let times = 0; times < 3; times++) {
      const pumped = new Promise<void>((resolve) => (work.onPump = () => {
        native().eventClear(fd)
        resolve()
      }))
      native().eventSignal(fd)
      await pumped
    }
    driver.close()
    native().close(fd)
    expect(work.pumps).toBeGreaterThanOrEqual(4)
  })

  it('ends when its device is gone', async () => {
    const work = new Work()
    work.counts = [-19]
    const gone: number[] = []
    const driver = drive(work, { onGone: (errno) => gone.push(errno) })
    driver.hold()
    await turn()
    expect(gone).toEqual([19])
    driver.attend()
    driver.wake()
    await turn()
    expect(work.pumps).toBe(1)
  })

  it('goes on after a user\'s code has thrown', async () => {
    const work = new Work()
    const driver = drive(work)
    await turn()
    work.onAdvance = () => {
      throw new Error('of the user')
    }
    expect(() => driver.attend()).toThrow('of the user')
    work.onAdvance = () => {}
    driver.attend()
    await turn()
    expect(work.pumps).toBe(2)
  })
})
