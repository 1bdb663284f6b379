/**
 * Fuzzes the whole data plane. What went wrong before is kept in corpus/ and played first; then new input is made, for as long
 * as TSNAT_FUZZ_SECONDS says. A failure is made small and kept. TSNAT_FUZZ_SEED chooses the input; it is printed on failure.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { randomFrom, randomOptions, randomStep } from './generate.js'
import { judge } from './oracle.js'
import { FuzzPlane, type PlaneOptions, type Step } from './plane.js'

const CORPUS = join(dirname(fileURLToPath(import.meta.url)), 'corpus')
const SECONDS = Number(process.env.TSNAT_FUZZ_SECONDS ?? 4)
const SEED = Number(process.env.TSNAT_FUZZ_SEED ?? 1)
/** Steps that one gateway goes through. */
const STEPS = 250
/** Milliseconds that one step may take. A step has a few packets; the longest work is cutting superpackets in software. */
const STEP_MILLISECONDS = 2000
/** The longest time of any timer is 7440 s. */
const ALL_TIMERS = 10_000

interface Run {
  options: PlaneOptions
  steps: Step[]
}

/** Plays a run in two gateways that differ in the bytes around packets. Returns what is wrong, '' when nothing is. */
const play = ({ options, steps }: Run): string => {
  const planes = [new FuzzPlane(options, 0x00), new FuzzPlane(options, 0x5b)] as const
  let { wanMtu } = options
  try {
    for (const [index, step] of [...steps, { kind: 'fail' } as const, { kind: 'advance', seconds: ALL_TIMERS } as const].entries()) {
      const problem = playStep(planes, step, options, wanMtu)
      if (problem !== '') return `step ${index}: ${problem}`
      if (step.kind === 'settings') wanMtu = step.mtu
    }
  } catch (error) {
    return `thrown: ${(error as Error).stack}`
  }
  return planes[0].plane.table.count === 0 ? '' : `${planes[0].plane.table.count} flows outlived all timers`
}

const playStep = (planes: readonly [FuzzPlane, FuzzPlane], step: Step, options: PlaneOptions, wanMtu: number): string => {
  const begin = performance.now()
  const trespass = planes.map((plane) => plane.step(step)).join('')
  const took = performance.now() - begin
  if (trespass !== '') return trespass
  if (took > STEP_MILLISECONDS) return `took ${Math.round(took)} ms`
  const [one, other] = planes.map((plane) => plane.take()) as [ReturnType<FuzzPlane['take']>, ReturnType<FuzzPlane['take']>]
  const wrong = [...judge(one.lan, false, options.lanOffloads, options.lanMtu), ...judge(one.wan, true, options.wanOffloads, wanMtu)]
  if (wrong.length > 0) return wrong[0]!
  for (const side of ['lan', 'wan'] as const) {
    if (one[side].length !== other[side].length) return `${side}: ${one[side].length} or ${other[side].length} packets, by what is outside of packets`
    for (const [index, packet] of one[side].entries()) {
      const twin = other[side][index]!
      if (Buffer.compare(packet.bytes, twin.bytes) !== 0) return `${side}: another packet by what is outside of packets`
      if (JSON.stringify(packet.vnet) !== JSON.stringify(twin.vnet)) return `${side}: another virtio header by what is outside of packets`
    }
  }
  return ''
}

/** Leaves out what the failure does not need, as long as there is time. */
const shrink = (run: Run, milliseconds: number): Run => {
  const until = performance.now() + milliseconds
  let small = run
  for (let size = Math.ceil(run.steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < small.steps.length && performance.now() < until; ) {
      const steps = small.steps.toSpliced(from, size)
      if (play({ ...small, steps }) === '') from += size
      else small = { ...small, steps }
    }
  }
  return small
}

const keep = (run: Run, problem: string, name: string): string => {
  const small = shrink(run, 20_000)
  mkdirSync(CORPUS, { recursive: true })
  const path = join(CORPUS, `${name}.json`)
  writeFileSync(path, `${JSON.stringify({ problem: play(small) || problem, ...small }, null, 1)}\n`)
  return path
}

describe('the data plane under fuzz', () => {
  const kept = readdirSync(CORPUS).filter((name) => name.endsWith('.json'))
  it.each(kept)('%s', (name) => {
    expect(play(JSON.parse(readFileSync(join(CORPUS, name), 'utf8')) as Run)).toBe('')
  })

  it('never throws, touches only packets, lets no inside address out, emits only what a kernel takes', { timeout: SECONDS * 1000 + 60_000 }, () => {
    const until = performance.now() + SECONDS * 1000
    for (let seed = SEED; performance.now() < until; seed = (Math.imul(seed, 0x9e3779b1) + 1) | 0) {
      const random = randomFrom(seed)
      const run: Run = { options: randomOptions(random), steps: Array.from({ length: STEPS }, () => randomStep(random)) }
      const problem = play(run)
      if (problem !== '') expect.fail(`seed ${seed}: ${problem}\nkept in ${keep(run, problem, `seed-${seed >>> 0}`)}`)
    }
  })
})
