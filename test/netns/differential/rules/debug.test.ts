import { it } from 'vitest'
import { Lab } from '../../../../src/testing/lab/index.js'
import { kernelGateway, type RuleGateway } from './bed.js'
import { caseOf, play } from './play.js'
import { TsnatRules } from './tsnat-bed.js'
it('debug', async () => {
  const lab = await Lab.create(`dbg${process.pid}`)
  const kernel = await kernelGateway(lab, 'iptables-legacy')
  const parse = (c: string): [string, number] => { const m = /^(.*) \[(\d+):\d+\]$/.exec(c)!; return [m[1]!, Number(m[2])] }
  const out: string[] = []
  for (const part of process.env['AT']!.split(',')) {
    const [seed, at] = part.split(':').map(Number)
    const one = caseOf(seed!)
    const end = at ?? one.shots.length - 1
    out.push(`===== seed ${seed} shot ${end}: ${JSON.stringify(one.shots[end]!.flow)}`)
    for (const [name, gateway] of [['kernel', kernel], ['tsnat', new TsnatRules()]] as [string, RuleGateway][]) {
      const before = await play(gateway, { ...one, shots: one.shots.slice(0, end) })
      const after = await play(gateway, { ...one, shots: one.shots.slice(0, end + 1) })
      out.push(`-- ${name}`, `   > ${after.sent[end]}`, ...after.seen[end]!.map((l) => `   < ${l}`))
      after.counters.forEach((c, i) => { const [t, n] = parse(c); const [, m] = parse(before.counters[i]!); if (n !== m) out.push(`     +${n - m} ${t}`) })
    }
    if (process.env['RULES']) out.push(one.rules)
  }
  console.log(out.join('\n'))
  kernel.close()
  await lab.close()
})
