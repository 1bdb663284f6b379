import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Lab } from '../../../../src/testing/lab/index.js'
import { kernelGateway, type RuleGateway } from './bed.js'
import { compareCase, nothingCompared } from './compare.js'
import { caseOf, play } from './play.js'

const [first = 1, count = 100] = (process.env['TSNAT_RULE_SETS'] ?? '').split(':').filter(Boolean).map(Number)

describe('kernel', () => {
  let lab: Lab
  let gateways: RuleGateway[]
  beforeAll(async () => {
    lab = await Lab.create(`rules${process.pid}`)
    gateways = [await kernelGateway(lab, 'iptables-legacy'), await kernelGateway(lab, 'iptables-nft')]
  })
  afterAll(async () => {
    for (const each of gateways) each.close()
    await lab.close()
  })
  it('plays', async () => {
    const result = nothingCompared()
    for (let seed = first; seed < first + count; seed++) {
      const one = caseOf(seed)
      compareCase(one, await play(gateways[0]!, one), await play(gateways[1]!, one), result)
    }
    console.log({ ...result, unexplained: result.unexplained.length })
    expect(result.unexplained.slice(0, 5).join('\n\n')).toBe('')
  })
})
