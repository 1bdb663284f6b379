import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Lab } from '../../../../src/testing/lab/index.js'
import { kernelGateway, type RuleGateway } from './bed.js'
import { caseOf, play } from './play.js'

describe('kernel', () => {
  let lab: Lab
  let kernel: RuleGateway
  beforeAll(async () => {
    lab = await Lab.create(`rules${process.pid}`)
    kernel = await kernelGateway(lab)
  })
  afterAll(async () => {
    kernel?.close()
    await lab.close()
  })
  it('plays', async () => {
    let hit = 0, total = 0, out = 0, shots = 0
    const t = performance.now()
    for (let seed = 1; seed <= 20; seed++) {
      const one = caseOf(seed)
      const { counters, seen, sent } = await play(kernel, one)
      for (const c of counters) { total++; if (!c.includes('[0:0]')) hit++ }
      shots += sent.filter((x) => x !== undefined).length
      out += seen.filter((x) => x.length > 0).length
      if (seed === 3) console.log(one.rules, counters.join('\n'), sent.map((x, i) => `${one.shots[i]!.note} ${x}\n   ${seen[i]!.join('\n   ')}`).join('\n'))
    }
    console.log(hit, total, out, shots, performance.now() - t)
    expect(hit).toBeGreaterThan(0)
  })
})
