//! Evaluates conditions of role assignments with Microsoft's interpreter, for test_conditions.py.
//!
//! Reads a JSON list of `{condition, action, request, resource}`, and writes a list of booleans, or of texts where the
//! interpreter reports an error.

use std::io::Read;

use regorus::languages::azure_rbac::ast::{
    EnvironmentContext, EvaluationContext, Principal, PrincipalType, RequestContext, Resource,
};
use regorus::languages::azure_rbac::interpreter::ConditionInterpreter;
use regorus::Value;

fn attributes(case: &serde_json::Value, name: &str) -> Value {
    Value::from_json_str(&case[name].to_string()).expect("attributes are JSON")
}

fn evaluate(case: &serde_json::Value) -> serde_json::Value {
    let action = case["action"].as_str().expect("an action").to_string();
    let context = EvaluationContext {
        principal: Principal {
            id: "somebody".to_string(),
            principal_type: PrincipalType::ServicePrincipal,
            custom_security_attributes: Value::new_object(),
        },
        resource: Resource {
            id: "/".to_string(),
            resource_type: "any".to_string(),
            scope: "/".to_string(),
            attributes: attributes(case, "resource"),
        },
        request: RequestContext {
            action: Some(action.clone()),
            data_action: Some(action.clone()),
            attributes: attributes(case, "request"),
        },
        environment: EnvironmentContext {
            is_private_link: None,
            private_endpoint: None,
            subnet: None,
            utc_now: None,
        },
        action: Some(action),
        suboperation: None,
    };
    match ConditionInterpreter::new(&context).evaluate_str(case["condition"].as_str().expect("a condition")) {
        Ok(holds) => serde_json::Value::Bool(holds),
        Err(error) => serde_json::Value::String(format!("{error:?}")),
    }
}

fn main() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).expect("standard input is text");
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).expect("standard input is a JSON list");
    println!("{}", serde_json::Value::Array(cases.iter().map(evaluate).collect()));
}
