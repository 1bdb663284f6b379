// Prints "N passed, N failed" of the last test run. A test file that could not be loaded counts as one failure, and so does a
// run that did not come to its end.
import { readFileSync } from 'node:fs'
import { resultsFile } from './paths.mjs'

const counts = () => {
  try {
    const { success, numPassedTests, numFailedTests, testResults } = JSON.parse(readFileSync(resultsFile, 'utf8'))
    const unloaded = testResults.filter(({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0).length
    const failed = numFailedTests + unloaded
    return { passed: numPassedTests, failed: failed === 0 && !success ? 1 : failed }
  } catch {
    return { passed: 0, failed: 1 }
  }
}

const { passed, failed } = counts()
console.log(`${passed} passed, ${failed} failed`)
