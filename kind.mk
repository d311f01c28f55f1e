# The targets that need docker, kind and kubectl. Each names its cluster, so none can touch another one,
# whatever the current context is.
KIND_CLUSTER ?= ottoscaler
EVENT ?= type scale_up pod_count 3 task_id hello
KIND_IMAGE := ottoscaler:dev
KIND_KUBECTL := kubectl --context kind-$(KIND_CLUSTER) --namespace ottoscaler
KIND_REDIS := $(KIND_KUBECTL) exec statefulset/redis -- redis-cli

# $(call need,tool): a missing tool is one sentence, not a shell's riddle.
need = @command -v $(1) >/dev/null || \
	{ echo "make: $(1) is missing; install it, or see Ottoscaler work without a cluster: make demo" >&2; exit 1; }
need_engine = @docker version >/dev/null 2>&1 || \
	{ echo "make: docker has no engine running; start it, or see Ottoscaler work without a cluster: make demo" >&2; exit 1; }

.PHONY: kind-tools kind-up image deploy run event workers results logs kind-down

kind-tools:
	$(call need,docker)
	$(call need,kind)
	$(call need,kubectl)
	$(need_engine)

run: kind-tools ## Start a kind cluster if there is none, build, deploy, follow the log
	@$(MAKE) --no-print-directory kind-up
	@$(MAKE) --no-print-directory image
	@$(MAKE) --no-print-directory deploy
	@echo "Running. In another terminal: make event, make workers, make results. Ctrl-C leaves it running."
	@$(MAKE) --no-print-directory logs

kind-up: kind-tools ## Start the kind cluster KIND_CLUSTER, if there is none
	@kind get clusters 2>/dev/null | grep -qx '$(KIND_CLUSTER)' || \
		kind create cluster --name $(KIND_CLUSTER) --wait 180s

image: ## Build the service's image by docker, podman or buildah (ENGINE=buildah)
	@image/build $(KIND_IMAGE) $(IMAGE_FLAGS)

deploy: kind-tools ## Load the image into kind and apply manifests/overlays/kind
	@# The tag is the image's own id, so the pods change where the image or a manifest did, and in one rollout.
	@id=$$(docker image inspect --format '{{.Id}}' $(KIND_IMAGE)) && image="$(KIND_IMAGE)-$${id#*:}" && set -x && \
	docker tag $(KIND_IMAGE) "$$image" && \
	kind load docker-image "$$image" --name $(KIND_CLUSTER) && docker image rm "$$image" && \
	{ set +x; } 2>/dev/null && echo "$(KIND_KUBECTL) apply: manifests/overlays/kind with $$image" && \
	rendered=$$($(KIND_KUBECTL) kustomize manifests/overlays/kind) && \
	printf '%s\n' "$$rendered" | sed "s|image: $(KIND_IMAGE)\$$|image: $$image|" | \
	$(KIND_KUBECTL) apply --filename -
	$(KIND_KUBECTL) rollout status statefulset/redis --timeout 180s
	$(KIND_KUBECTL) rollout status deployment/ottoscaler --timeout 180s

event: ## Send an event (EVENT='type scale_down task_id hello')
	$(call need,kubectl)
	$(KIND_REDIS) XADD otto:scale:events '*' $(EVENT)

workers: ## Watch the worker Pods come and go
	$(call need,kubectl)
	$(KIND_KUBECTL) get pods --selector managed-by=ottoscaler --watch

results: ## Show the last ten results
	$(call need,kubectl)
	$(KIND_REDIS) XREVRANGE otto:scale:results + - COUNT 10

logs: ## Follow the service's log
	$(call need,kubectl)
	$(KIND_KUBECTL) logs --selector app=ottoscaler --follow --tail 50 --max-log-requests 10

kind-down: ## Delete the kind cluster
	$(call need,kind)
	kind delete cluster --name $(KIND_CLUSTER)
