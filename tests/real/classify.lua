-- Posts texts of several lengths to every model in turn, and counts answers other than 200.
local models = {}
for name in os.getenv("MODELS"):gmatch("[^,]+") do models[#models + 1] = name end
local words = { "a", "slow", "start", "but", "by", "the", "end", "I", "was", "in", "tears" }
local threads = {}
local sent = 0
wrong = 0

function setup(thread) threads[#threads + 1] = thread end

function request()
  sent = sent + 1
  local text = {}
  for i = 1, 1 + (sent * 7) % 60 do text[i] = words[(sent + i) % #words + 1] end
  local body = string.format(
    '{"inputs": "%s", "model": "%s"}', table.concat(text, " "), models[sent % #models + 1])
  return wrk.format("POST", "/v1/classify", { ["Content-Type"] = "application/json" }, body)
end

function response(status) if status ~= 200 then wrong = wrong + 1 end end

function done(summary, latency, requests)
  local total = 0
  for _, thread in ipairs(threads) do total = total + thread:get("wrong") end
  local errors = summary.errors
  print(string.format('{"requests": %d, "wrong": %d, "broken": %d}', summary.requests, total,
    errors.connect + errors.read + errors.write + errors.timeout))
end
