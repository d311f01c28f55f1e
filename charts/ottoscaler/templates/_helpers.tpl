{{- define "ottoscaler.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels of every object besides `app`. Those of pods do not name the version: a new chart rolls no pod by itself. */}}
{{- define "ottoscaler.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "ottoscaler.workersNamespace" -}}
{{- .Values.workers.namespace | default .Release.Namespace -}}
{{- end -}}

{{/* The name of what stands around the workers: a second release in one namespace has its own. */}}
{{- define "ottoscaler.workersName" -}}
{{- $name := include "ottoscaler.fullname" . -}}
{{- if eq $name "ottoscaler" }}otto-agent{{ else }}{{ $name | trunc 52 | trimSuffix "-" }}-otto-agent{{ end -}}
{{- end -}}

{{/* A value as text. Helm reads every number as a float, which prints 67108864 as 6.7108864e+07, and `off` as false. */}}
{{- define "ottoscaler.text" -}}
{{- if kindIs "bool" . -}}
{{- ternary "on" "off" . -}}
{{- else if kindIs "float64" . -}}
{{- if eq . (floor .) }}{{ printf "%.0f" . }}{{ else }}{{ . }}{{ end -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/* A quantity as a number. */}}
{{- define "ottoscaler.number" -}}
{{- $units := dict "" 1.0 "n" 1e-9 "u" 1e-6 "m" 1e-3 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024.0
  "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 -}}
{{- $unit := regexFind "([KMGTPE]i|[numkMGTPE])$" (toString .) -}}
{{- mulf (toString . | trimSuffix $unit | float64) (get $units $unit) -}}
{{- end -}}

{{- define "ottoscaler.usesUrl" -}}
{{- with .Values.redis -}}
{{- if and .secret.urlKey (not (or .host .sentinel.nodes .builtin.enabled)) }}true{{ end -}}
{{- end -}}
{{- end -}}

{{/* Keys of Redis's Secret that are read as files. */}}
{{- define "ottoscaler.redisFiles" -}}
{{- with .Values.redis -}}
{{- $password := ternary .secret.passwordKey "" .secret.passwordAsFile -}}
{{- list .tls.caKey .tls.certKey .tls.keyKey $password | compact | toJson -}}
{{- end -}}
{{- end -}}

{{/* All settings, as YAML: what other values set, then `settings`. */}}
{{- define "ottoscaler.settings" -}}
{{- $made := dict "OTTO_TEMPLATES_DIR" "/etc/ottoscaler/templates" -}}
{{- with .Values.workers.namespace }}{{ $_ := set $made "NAMESPACE" . }}{{ end -}}
{{- if .Values.startGate.enabled }}{{ $_ := set $made "OTTO_START_GATE" "true" }}{{ end -}}
{{- with .Values.redis -}}
{{- $host := ternary .builtin.name .host .builtin.enabled -}}
{{- if $host }}{{ $_ := set $made "REDIS_HOST" $host }}{{ end -}}
{{- if and .host (ne (int .port) 6379) }}{{ $_ := set $made "REDIS_PORT" (int .port) }}{{ end -}}
{{- if and (or .host .sentinel.nodes) .db }}{{ $_ := set $made "REDIS_DB" (int .db) }}{{ end -}}
{{- if .sentinel.nodes -}}
{{- $_ := set $made "REDIS_SENTINELS" (join "," .sentinel.nodes) -}}
{{- $_ := set $made "REDIS_SENTINEL_MASTER" .sentinel.master -}}
{{- end -}}
{{- with .cluster.hashTag -}}
{{- $_ := set $made "REDIS_STREAM" (printf "{%s}:scale:events" .) -}}
{{- $_ := set $made "REDIS_RESULTS_STREAM" (printf "{%s}:scale:results" .) -}}
{{- $_ := set $made "REDIS_DEAD_STREAM" (printf "{%s}:scale:dead" .) -}}
{{- end -}}
{{- with .tls.caKey }}{{ $_ := set $made "REDIS_TLS_CA_FILE" (printf "/etc/ottoscaler/redis/%s" .) }}{{ end -}}
{{- with .tls.certKey }}{{ $_ := set $made "REDIS_TLS_CERT_FILE" (printf "/etc/ottoscaler/redis/%s" .) }}{{ end -}}
{{- with .tls.keyKey }}{{ $_ := set $made "REDIS_TLS_KEY_FILE" (printf "/etc/ottoscaler/redis/%s" .) }}{{ end -}}
{{- if .secret.passwordAsFile -}}
{{- $_ := set $made "REDIS_PASSWORD_FILE" (printf "/etc/ottoscaler/redis/%s" .secret.passwordKey) -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := .Values.settings -}}
{{- /* The one setting whose words are YAML's own for a truth value. */ -}}
{{- $_ := set $made $name (ternary (toString $value) $value (eq $name "OTTO_ONE_CPU")) -}}
{{- end -}}
{{- range $name, $value := $made }}
{{ $name }}: {{ include "ottoscaler.text" $value | quote }}
{{- end -}}
{{- end -}}

{{/* All Pod templates, as the data of a ConfigMap. */}}
{{- define "ottoscaler.templates" -}}
{{- $values := .Values -}}
{{- range $profile, $template := .Values.templates }}
{{- if $template }}
{{- $pod := deepCopy $template -}}
{{- if and $values.priorities.enabled (not $pod.spec.priorityClassName) -}}
{{- $_ := set $pod.spec "priorityClassName" $values.priorities.workers.name -}}
{{- end -}}
{{- if $values.openshift.enabled -}}
{{- range concat (list $pod.spec) $pod.spec.containers ($pod.spec.initContainers | default list) -}}
{{- with .securityContext }}{{ $_ := unset . "runAsUser" }}{{ $_ = unset . "runAsGroup" }}{{ $_ = unset . "fsGroup" }}{{ end -}}
{{- end -}}
{{- end }}
{{ $profile }}.yaml: |
{{- toYaml $pod | nindent 2 }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Whether some worker's log may be asked for. */}}
{{- define "ottoscaler.readsLogs" -}}
{{- $made := include "ottoscaler.settings" . | fromYaml -}}
{{- if not (and (eq (get $made "OTTO_LOGS") "off") (eq (get $made "OTTO_MAX_LOGS") "off")) }}true{{ end -}}
{{- end -}}

{{/* Kubernetes 1.27 or newer, which takes the fields of manifests/components/kubernetes-1.27. */}}
{{- define "ottoscaler.since127" -}}
{{- if semverCompare ">=1.27.0-0" .Capabilities.KubeVersion.Version }}true{{ end -}}
{{- end -}}

{{- define "ottoscaler.httpPort" -}}
{{- get (include "ottoscaler.settings" . | fromYaml) "OTTO_HTTP_PORT" | default "9090" -}}
{{- end -}}

{{/* What no schema can say; each with one sentence. */}}
{{- define "ottoscaler.check" -}}
{{- with .Values.redis -}}
{{- if and .sentinel.nodes (not .sentinel.master) -}}
{{- fail "redis.sentinel.master is not set although redis.sentinel.nodes is; it is the master's name that the Sentinels know." -}}
{{- end -}}
{{- if ne (empty .tls.certKey) (empty .tls.keyKey) -}}
{{- fail "redis.tls.certKey and redis.tls.keyKey need each other: a client certificate and its key." -}}
{{- end -}}
{{- if and .secret.passwordAsFile (not .secret.passwordKey) -}}
{{- fail "redis.secret.passwordAsFile needs redis.secret.passwordKey: the Secret's key with the password." -}}
{{- end -}}
{{- if gt (len (compact (list .host (join "," .sentinel.nodes) (ternary .builtin.name "" .builtin.enabled)))) 1 -}}
{{- fail "redis.host, redis.sentinel.nodes and redis.builtin.enabled each say where Redis is; set one of them." -}}
{{- end -}}
{{- $secrets := list .secret.usernameKey .secret.passwordKey .tls.caKey .tls.certKey .tls.keyKey | compact -}}
{{- if and .builtin.enabled $secrets -}}
{{- fail (printf "redis.builtin has no TLS, user or password: set redis.tls's and redis.secret's keys to \"\" (they name %s)." (join ", " $secrets)) -}}
{{- end -}}
{{- if and .builtin.enabled (eq .builtin.name (include "ottoscaler.fullname" $)) -}}
{{- fail (printf "redis.builtin.name is %s, which is the service's own name; take another." .builtin.name) -}}
{{- end -}}
{{- if not (or .secret.urlKey .host .sentinel.nodes .builtin.enabled) -}}
{{- fail "Nothing says where Redis is; set redis.secret.urlKey, redis.host, redis.sentinel or redis.builtin.enabled." -}}
{{- end -}}
{{- end -}}
{{- with .Values.redis.cluster.hashTag -}}
{{- $tag := printf "{%s}" . -}}
{{- range $name := list "REDIS_STREAM" "REDIS_RESULTS_STREAM" "REDIS_DEAD_STREAM" -}}
{{- $named := get ($.Values.settings | default dict) $name -}}
{{- if and $named (not (contains $tag (toString $named))) -}}
{{- fail (printf "settings.%s is %s, without the tag %s of redis.cluster.hashTag, which names the three streams by itself." $name (toString $named) $tag) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if has (get (.Values.settings | default dict) "OTTO_HTTP_ADDRESS") (list "127.0.0.1" "localhost" "::1") -}}
{{- fail "settings.OTTO_HTTP_ADDRESS is the pod's loopback, where no probe reaches it; OTTO_STATUS_PAGE says who sees the page." -}}
{{- end -}}
{{- if and .Values.startGate.enabled (not (include "ottoscaler.since127" .)) -}}
{{- fail (printf "startGate.enabled needs Kubernetes 1.27 or newer; this is %s." .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if and .Values.openshift.enabled (not (get .Values.templates "default")) -}}
{{- fail "openshift.enabled needs templates.default, since the built-in template has fixed ids; examples/production.yaml has one." -}}
{{- end -}}
{{- range $profile, $template := .Values.templates -}}
{{- if $template -}}
{{- if not $template.spec.containers -}}
{{- fail (printf "templates.%s is no Pod: it has no spec.containers." $profile) -}}
{{- end -}}
{{- $workers := 0 -}}
{{- range $template.spec.containers -}}{{- if eq (toString .name) "worker" }}{{ $workers = add1 $workers }}{{ end -}}{{- end -}}
{{- if ne (int $workers) 1 -}}
{{- fail (printf "templates.%s has %d containers named worker; it needs exactly one, whose end is the worker's." $profile (int $workers)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $resources := .Values.resources | default dict -}}
{{- range $name, $limit := $resources.limits -}}
{{- $request := get ($resources.requests | default dict) $name | default 0 -}}
{{- if gt (include "ottoscaler.number" $request | float64) (include "ottoscaler.number" $limit | float64) -}}
{{- fail (printf "resources.limits.%s is %v, less than resources.requests.%s, %v: Kubernetes refuses such a Deployment." $name $limit $name $request) -}}
{{- end -}}
{{- end -}}
{{- if hasKey (.Values.podLabels | default dict) "app" -}}
{{- fail (printf "podLabels.app cannot be set: app=%s selects the pods." (include "ottoscaler.fullname" .)) -}}
{{- end -}}
{{- range list "checksum/settings" "checksum/templates" "kubectl.kubernetes.io/default-container" -}}
{{- if hasKey ($.Values.podAnnotations | default dict) . -}}
{{- fail (printf "podAnnotations.%s cannot be set: the chart sets it." .) -}}
{{- end -}}
{{- end -}}
{{- with .Values.priorities -}}
{{- if .enabled -}}
{{- if eq .service.name .workers.name -}}
{{- fail (printf "priorities.service.name and priorities.workers.name are both %s; they need two names." .service.name) -}}
{{- end -}}
{{- range list .service.name .workers.name -}}
{{- if hasPrefix "system-" . -}}
{{- fail (printf "priorities: Kubernetes keeps names that begin with system- for itself; take another than %s." .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "ottoscaler.limitsName" -}}
{{- $name := include "ottoscaler.fullname" . -}}
{{- if eq $name "ottoscaler" }}otto-workers{{ else }}{{ $name | trunc 50 | trimSuffix "-" }}-otto-workers{{ end -}}
{{- end -}}
