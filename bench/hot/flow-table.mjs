// Memory and lookup cost of the flow table by number of flows, each size in a process of its own.
import { execFileSync } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import { bundle } from './bundle.mjs'

const SIZES = [10_000, 100_000, 1_000_000]
const ROUNDS = 5

/**
 * By number of flows: `bytesPerFlow` of the table's own memory, `residentPerFlow` by which the process grew when all flows
 * were open, and `nsPerLookup`, the best of some rounds of lookups that hit, at random.
 */
export const measureFlowTable = async () => {
  const url = pathToFileURL(await bundle()).href
  return SIZES.map((flows) => {
    const program = `const { weigh } = await import(${JSON.stringify(url)}); console.log(JSON.stringify(weigh(${flows}, ${ROUNDS})))`
    const output = execFileSync(process.execPath, ['--expose-gc', '--input-type=module', '--eval', program], { encoding: 'utf8' })
    return { flows, ...JSON.parse(output) }
  })
}
