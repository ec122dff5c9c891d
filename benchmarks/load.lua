-- Sends the requests of a file, one after another, and prints the results as one line of JSON. Each line of the file
-- holds method, path, Authorization, Content-Type, X-Forwarded-For and body, separated by tabs. `#` in a body is replaced
-- by a number that no other request has.

local requests = {}
local sent = 0
local first

function init(args)
  for line in io.lines(args[1]) do
    local method, path, authorization, content_type, source, body = line:match("(.-)\t(.-)\t(.-)\t(.-)\t(.-)\t(.*)")
    local headers = {}
    if authorization ~= "" then headers["Authorization"] = authorization end
    if content_type ~= "" then headers["Content-Type"] = content_type end
    if source ~= "" then headers["X-Forwarded-For"] = source end
    local each = { method = method, path = path, headers = headers, body = body ~= "" and body or nil }
    if not body:find("#", 1, true) then each.made = wrk.format(method, path, headers, each.body) end
    requests[#requests + 1] = each
  end
  first = tonumber(args[2])
end

function request()
  local next = requests[sent % #requests + 1]
  sent = sent + 1
  if next.made then return next.made end
  local body = next.body:gsub("#", tostring(first + sent))
  return wrk.format(next.method, next.path, next.headers, body)
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "microseconds": %d, "refused": %d, "broken": %d, "p50": %f, "p99": %f}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50.0), latency:percentile(99.0)))
end
