//! Looks for every reason that Kubernetes or the pods could have to refuse a pipeline. Pure.
