/**
 * tsnat in profile `linux` beside the kernel's masquerade: generated packet sequences go through both, and what comes out must
 * be the same, but for the listed differences (differences.ts).
 *
 * The sequences are the same in each run. `TSNAT_SEQUENCES=5000:200` tries 200 others, those of the seeds from 5000 on.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Lab } from '../../../src/testing/lab/index.js'
import { type GatewayUnderTest, kernelGateway, tsnatGateway } from './bed.js'
import { compare, type Comparison } from './compare.js'
import { DIFFERENCES } from './differences.js'
import { replay } from './replay.js'
import { sequenceOf } from './sequence.js'

const [first = 1, count = 1000] = (process.env['TSNAT_SEQUENCES'] ?? '').split(':').filter(Boolean).map(Number)
/** Seeds of sequences with differences that hardly ever occur. */
const RARE = [535, 1356, 1680, 3803, 4677, 6740]
/** Failing sequences that are printed. */
const SHOWN = 5

describe('tsnat beside the masquerade of the kernel', () => {
  let lab: Lab
  let gateways: GatewayUnderTest[]
  let comparison: Comparison

  beforeAll(async () => {
    lab = await Lab.create(`diff${process.pid}`)
    gateways = [await kernelGateway(lab), await tsnatGateway(lab)]
    for (const gateway of gateways) await gateway.prepare()
    const seeds = Array.from({ length: count }, (_, i) => first + i)
    const sequences = [...seeds, ...RARE].map((seed, number) => sequenceOf(seed, number))
    const [kernel, tsnat] = [await replay(gateways[0]!, sequences), await replay(gateways[1]!, sequences)]
    comparison = compare(sequences, kernel.steps, tsnat.steps)
    comparison.unexplained.push(...[...kernel.strays, ...tsnat.strays].map((line) => `belongs to no sequence: ${line}`))
  })
  afterAll(async () => {
    for (const gateway of gateways ?? []) gateway.close()
    await lab.close()
  })

  it('lets the same packets out as the kernel does, after each step of a thousand sequences, but for the listed differences', () => {
    const { unexplained } = comparison
    const more = unexplained.length > SHOWN ? [`… and ${unexplained.length - SHOWN} more`] : []
    expect([...unexplained.slice(0, SHOWN), ...more].join('\n\n')).toBe('')
  })

  it('lets most of them out without any difference', () => {
    // About eight steps each; in many a new identification is all that differs.
    expect(comparison.sameSteps).toBeGreaterThan(count * 4)
    expect(comparison.samePackets).toBeGreaterThan(comparison.sameSteps)
  })

  it('shows every listed difference', () => {
    const stale = DIFFERENCES.map(({ id }) => id).filter((id) => !comparison.found.has(id))
    expect(stale, 'listed, but did not occur').toEqual([])
  })
})
