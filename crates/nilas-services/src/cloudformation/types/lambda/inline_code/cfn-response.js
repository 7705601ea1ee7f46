// Answers a custom resource's request: cfn.send(event, context, cfn.SUCCESS, { Name: 'value' }).
'use strict'

exports.SUCCESS = 'SUCCESS'
exports.FAILED = 'FAILED'

exports.send = (event, context, responseStatus, responseData, physicalResourceId, noEcho) => {
  const body = JSON.stringify({
    Status: responseStatus,
    Reason: `See the details in CloudWatch Log Stream: ${context.logStreamName}`,
    PhysicalResourceId: physicalResourceId || context.logStreamName,
    StackId: event.StackId,
    RequestId: event.RequestId,
    LogicalResourceId: event.LogicalResourceId,
    NoEcho: noEcho || false,
    Data: responseData
  })
  const url = new URL(event.ResponseURL)
  const { request } = require(url.protocol === 'http:' ? 'http' : 'https')
  const options = { method: 'PUT', headers: { 'content-type': '', 'content-length': Buffer.byteLength(body) } }
  return new Promise(resolve => {
    const done = () => {
      context.done()
      resolve()
    }
    const put = request(url, options, response => {
      console.log(`Status code: ${response.statusCode}`)
      response.resume()
      done()
    })
    put.on('error', error => {
      console.log(`send(..) failed executing request(..): ${error}`)
      done()
    })
    put.end(body)
  })
}
